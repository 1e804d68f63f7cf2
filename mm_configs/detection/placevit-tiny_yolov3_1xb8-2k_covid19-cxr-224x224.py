_base_ = [
    "../_base_/backbones/placevit-tiny.py",
    "../_base_/models/yolov3_slim.py",
    "../_base_/datasets/covid19-cxr_det_224x224.py",
    "../_base_/schedules/det_2k.py",
]
pyramid, neck = _base_.model.neck
model = dict(
    backbone=_base_.backbone,
    neck=[dict(pyramid, in_channels=_base_.embed_dim), neck],
    bbox_head=dict(num_classes=_base_.num_classes),
)
