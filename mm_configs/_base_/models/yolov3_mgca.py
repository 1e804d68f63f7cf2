# Mode mgca, quirk 5: each box is assigned at all three scales, to the best anchor of each; NMS at 0.5. The anchors are
# those of COCO times 224 / 416, as in clean mode.
_base_ = ["./yolov3.py"]
model = dict(
    train_cfg=dict(
        assigner=dict(_delete_=True, type="monai_place.EveryScaleGridAssigner", strides=(32, 16, 8), ignore_iou_thr=0.5)
    ),
    test_cfg=dict(nms=dict(iou_threshold=0.5)),
)
