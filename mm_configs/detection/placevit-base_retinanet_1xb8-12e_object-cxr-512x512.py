_base_ = [
    "../_base_/backbones/placevit-base.py",
    "../_base_/models/retinanet.py",
    "../_base_/datasets/object-cxr_det_512x512.py",
    "../_base_/schedules/det_12e.py",
]
model = dict(
    backbone=_base_.backbone,
    neck=dict(in_channels=_base_.embed_dim),
    bbox_head=dict(num_classes=_base_.num_classes),
)
