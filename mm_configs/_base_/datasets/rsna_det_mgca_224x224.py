_base_ = ["./rsna_det.py", "../pipelines/det_mgca_224x224.py"]
train_dataloader = dict(
    batch_size=16,
    sampler=dict(infinite=False),
    dataset=dict(pipeline=_base_.train_pipeline),
)
val_dataloader = dict(batch_size=16, dataset=dict(pipeline=_base_.val_pipeline))
test_dataloader = dict(batch_size=16, dataset=dict(pipeline=_base_.val_pipeline))
auto_scale_lr = dict(base_batch_size=16)
