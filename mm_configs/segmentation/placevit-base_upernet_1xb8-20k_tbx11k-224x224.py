_base_ = [
    "../_base_/backbones/placevit-base.py",
    "../_base_/models/upernet.py",
    "../_base_/datasets/tbx11k_seg_224x224.py",
    "../_base_/schedules/seg_20k.py",
]
model = dict(
    backbone=dict(**_base_.backbone, out_indices=_base_.levels),
    neck=dict(in_channels=[_base_.embed_dim] * 4),
    decode_head=dict(num_classes=_base_.num_classes),
    auxiliary_head=dict(num_classes=_base_.num_classes),
)
