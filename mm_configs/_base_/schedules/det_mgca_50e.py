# Mode mgca, the settings of the published protocol, each by its name.
_base_ = ["../runtime/detection.py"]
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=5e-4, betas=(0.9, 0.999), weight_decay=1e-6),
)
param_scheduler = []  # no schedule of the learning rate
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=50, val_interval=1)  # at most 50 epochs
default_hooks = dict(
    logger=dict(interval=20),
    checkpoint=dict(by_epoch=True, interval=1, max_keep_ckpts=1, save_best="mAP", rule="greater"),  # test the best one
)
custom_hooks = [
    dict(type="monai_place.ExactResumeHook"),
    dict(type="EarlyStoppingHook", monitor="mAP", rule="greater", patience=10, min_delta=0.0),
    dict(type="NumClassCheckHook"),
]
log_processor = dict(by_epoch=True)
# Quirk 1: predictions below a score of 0.5 go first; then pictures without a prediction and pictures without boxes are
# left out, so that complete misses and false alarms on normals do not count.
val_evaluator = [dict(type="monai_place.RadiographAPMetric", mode="mgca", score_cut=0.5)]
test_evaluator = val_evaluator
