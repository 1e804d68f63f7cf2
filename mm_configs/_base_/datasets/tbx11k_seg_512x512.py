_base_ = ["./tbx11k_seg.py", "../pipelines/seg_512x512.py"]
masks = "monai_place.LoadRadiographMask"
train_pipeline = [dict(step, binary=True) if step["type"] == masks else step for step in _base_.train_pipeline]
val_pipeline = [dict(step, binary=True) if step["type"] == masks else step for step in _base_.val_pipeline]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = dict(dataset=dict(pipeline=val_pipeline))
