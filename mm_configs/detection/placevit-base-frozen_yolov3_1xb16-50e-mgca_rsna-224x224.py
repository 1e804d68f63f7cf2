_base_ = [
    "../_base_/backbones/placevit-base.py",
    "../_base_/models/yolov3_mgca.py",
    "../_base_/datasets/rsna_det_mgca_224x224.py",
    "../_base_/schedules/det_mgca_50e.py",
]
pyramid, neck = _base_.model.neck
model = dict(
    backbone=dict(**_base_.backbone, frozen_stages=_base_.depth),  # the protocol trains on frozen features
    neck=[dict(pyramid, in_channels=_base_.embed_dim), neck],
    bbox_head=dict(num_classes=_base_.num_classes),
)
