_base_ = [
    "../_base_/backbones/placevit-base.py",
    "../_base_/models/faster-rcnn.py",
    "../_base_/datasets/object-cxr_det_512x512.py",
    "../_base_/schedules/det_12e.py",
]
model = dict(
    backbone=_base_.backbone,
    neck=dict(in_channels=_base_.embed_dim),
    # From 16 pixels on: an object of 2 % of the side has no anchor of 32 pixels with the least IoU of 0.3.
    rpn_head=dict(anchor_generator=dict(scales=[4, 8])),
    roi_head=dict(bbox_head=dict(num_classes=_base_.num_classes)),
)
