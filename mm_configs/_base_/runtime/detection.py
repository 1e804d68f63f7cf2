_base_ = ["./common.py"]
default_scope = "mmdet"
visualizer = dict(type="DetLocalVisualizer", vis_backends=_base_.vis_backends)
default_hooks = dict(checkpoint=dict(save_best="mAP", rule="greater"))
custom_hooks = [*_base_.custom_hooks, dict(type="NumClassCheckHook")]  # heads have the classes of the data
# COCO's average precision over all pictures, at the IoU thresholds 0.40:0.05:0.75.
val_evaluator = [dict(type="monai_place.RadiographAPMetric", classwise=True)]
test_evaluator = val_evaluator
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
