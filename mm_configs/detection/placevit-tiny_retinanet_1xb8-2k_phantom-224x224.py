_base_ = [
    "../_base_/backbones/placevit-tiny.py",
    "../_base_/models/retinanet_slim.py",
    "../_base_/datasets/phantom_det_224x224.py",
    "../_base_/schedules/det_2k.py",
]
model = dict(
    backbone=_base_.backbone,
    neck=dict(in_channels=_base_.embed_dim),
    bbox_head=dict(num_classes=_base_.num_classes),
)
