# 2,000 iterations, for small sets and the tiny encoder.
_base_ = ["./seg_20k.py"]
optim_wrapper = dict(optimizer=dict(lr=5e-4))
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, by_epoch=False, begin=0, end=100),
    dict(type="PolyLR", power=0.9, eta_min=0.0, by_epoch=False, begin=100, end=2000),
]
train_cfg = dict(max_iters=2000, val_interval=200)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=200))
