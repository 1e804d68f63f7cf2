# What the segmentors share. The recipe fills in what depends on the encoder and on the data.
norm_cfg = dict(type="BN", requires_grad=True)  # on several GPUs: --cfg-options sync_bn=torch
# Cross entropy, and minus the log of the soft Dice over the batch, which small findings need.
loss_decode = [
    dict(type="CrossEntropyLoss", avg_non_ignore=True, loss_weight=1.0),
    dict(type="monai_place.FocalLogDiceLoss", focal_weight=0.0, use_sigmoid=False, loss_name="loss_log_dice"),
]
model = dict(
    type="EncoderDecoder",
    data_preprocessor=dict(
        type="SegDataPreProcessor",
        mean=[127.5] * 3,  # of the weights: 0.5 and 0.25 of the range
        std=[63.75] * 3,
        bgr_to_rgb=False,  # the channels are equal
        pad_val=0,
        seg_pad_val=255,
        size_divisor=16,
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)
