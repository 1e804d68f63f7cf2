_base_ = [
    "../_base_/backbones/placevit-tiny.py",
    "../_base_/models/mask-rcnn-vitdet_slim.py",
    "../_base_/datasets/phantom_det_masks_224x224.py",
    "../_base_/schedules/det_2k.py",
]
model = dict(
    backbone=dict(**_base_.backbone, window_size=7),  # in patches
    neck=dict(in_channels=_base_.embed_dim),
    roi_head=dict(
        bbox_head=dict(num_classes=_base_.num_classes),
        mask_head=dict(num_classes=_base_.num_classes),
    ),
)
optim_wrapper = dict(
    constructor="monai_place.PLACELayerDecayConstructor",
    paramwise_cfg=dict(_delete_=True, layer_decay_rate=0.75),
)
# Of the masks, MMDetection's own average precision; the boxes are measured as everywhere.
val_evaluator = [*_base_.val_evaluator, dict(type="CocoMetric", metric="segm")]
test_evaluator = val_evaluator
