_base_ = ["./common.py"]
default_scope = "mmseg"
visualizer = dict(type="SegLocalVisualizer", vis_backends=_base_.vis_backends, alpha=0.5)
default_hooks = dict(checkpoint=dict(save_best="Dice", rule="greater"))
val_evaluator = [
    dict(type="monai_place.PerImageDiceMetric"),  # Dice: 1 or 0 for a picture without truth; mean over pictures
    dict(type="IoUMetric", iou_metrics=["mIoU", "mDice"]),  # MMSegmentation's own, pooled over all pixels
]
test_evaluator = val_evaluator
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
