_base_ = [
    "../_base_/backbones/placevit-base.py",
    "../_base_/models/yolov3.py",
    "../_base_/datasets/rsna_det_224x224.py",
    "../_base_/schedules/det_12e.py",
]
pyramid, neck = _base_.model.neck
model = dict(
    backbone=_base_.backbone,
    neck=[dict(pyramid, in_channels=_base_.embed_dim), neck],
    bbox_head=dict(num_classes=_base_.num_classes),
)
