# Mode mgca, the settings of the published protocol (shared by MGCA, PRIOR and others), each by its name.
_base_ = ["../runtime/segmentation.py"]
# The head of the protocol, with channels of 512, 256, 128 and 64, is in this module.
custom_imports = dict(imports=["monai_place.mm", "monai_place.mm.segmentation"], allow_failed_imports=False)
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=5e-4, betas=(0.9, 0.999), weight_decay=0.05),
)
param_scheduler = []  # no schedule of the learning rate
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=50, val_interval=1)  # at most 50 epochs
default_hooks = dict(
    logger=dict(interval=20),
    checkpoint=dict(by_epoch=True, interval=1, max_keep_ckpts=1, save_best="loss", rule="less"),  # test the best one
)
custom_hooks = [
    dict(type="monai_place.ExactResumeHook"),
    dict(type="monai_place.ValidationLossHook"),  # chosen by the loss on the validation data, not by Dice
    dict(type="EarlyStoppingHook", monitor="loss", rule="less", patience=10, min_delta=0.0),
]
log_processor = dict(by_epoch=True)
# Quirk 4: Dice is averaged over batches, so that pictures of a short last batch weigh more.
val_evaluator = [dict(type="monai_place.PerImageDiceMetric", mode="mgca", threshold=0.5)]
test_evaluator = val_evaluator
