# 50 epochs: a tenth of the rate after 40.
_base_ = ["./det_12e.py"]
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, by_epoch=True, begin=0, end=1, convert_to_iter_based=True),
    dict(type="MultiStepLR", by_epoch=True, begin=0, end=50, milestones=[40], gamma=0.1),
]
train_cfg = dict(max_epochs=50)
