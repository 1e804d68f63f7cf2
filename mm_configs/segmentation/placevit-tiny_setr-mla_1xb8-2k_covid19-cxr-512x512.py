_base_ = [
    "../_base_/backbones/placevit-tiny.py",
    "../_base_/models/setr-mla_slim.py",
    "../_base_/datasets/covid19-cxr_seg_512x512.py",
    "../_base_/schedules/seg_2k.py",
]
model = dict(
    backbone=dict(**_base_.backbone, out_indices=_base_.levels),
    neck=dict(in_channels=[_base_.embed_dim] * 4),
    decode_head=dict(num_classes=_base_.num_classes),
)
