_base_ = [
    "../_base_/backbones/placevit-tiny.py",
    "../_base_/models/deformable-detr_slim.py",
    "../_base_/datasets/covid19-cxr_det_224x224.py",
    "../_base_/schedules/det_2k.py",
]
model = dict(
    backbone=_base_.backbone,
    neck=dict(in_channels=_base_.embed_dim),
    bbox_head=dict(num_classes=_base_.num_classes),
)
slower = dict(sampling_offsets=dict(lr_mult=0.1), reference_points=dict(lr_mult=0.1))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=slower), clip_grad=dict(max_norm=0.1))
