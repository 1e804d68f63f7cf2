_base_ = [
    "../_base_/backbones/placevit-base.py",
    "../_base_/models/linear.py",
    "../_base_/datasets/tbx11k_seg_224x224.py",
    "../_base_/schedules/seg_20k.py",
]
model = dict(
    backbone=dict(**_base_.backbone, frozen_stages=_base_.depth),
    decode_head=dict(
        in_channels=_base_.embed_dim,
        channels=_base_.embed_dim,
        num_classes=_base_.num_classes,
    ),
)
