# With the mask of each finding.
_base_ = ["./phantom_det.py", "../pipelines/det_224x224.py"]
load = "LoadAnnotations"
train_pipeline = [dict(step, with_mask=True) if step["type"] == load else step for step in _base_.train_pipeline]
val_pipeline = [dict(step, with_mask=True) if step["type"] == load else step for step in _base_.val_pipeline]
train_dataloader = dict(dataset=dict(with_masks=True, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(with_masks=True, pipeline=val_pipeline))
test_dataloader = dict(dataset=dict(with_masks=True, pipeline=val_pipeline))
