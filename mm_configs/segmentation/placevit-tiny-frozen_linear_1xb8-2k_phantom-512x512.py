_base_ = [
    "../_base_/backbones/placevit-tiny.py",
    "../_base_/models/linear.py",
    "../_base_/datasets/phantom_seg_512x512.py",
    "../_base_/schedules/seg_2k.py",
]
model = dict(
    backbone=dict(**_base_.backbone, frozen_stages=_base_.depth),
    decode_head=dict(
        in_channels=_base_.embed_dim,
        channels=_base_.embed_dim,
        num_classes=_base_.num_classes,
    ),
)
