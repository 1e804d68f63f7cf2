# Mode mgca: SETR-PUP with channels of 512, 256, 128 and 64, one logit, 10 x focal - log Dice, no auxiliary head.
_base_ = ["./segmentor.py"]
model = dict(
    decode_head=dict(
        type="monai_place.TaperedPUPHead",
        widths=(512, 256, 128, 64),
        in_index=0,
        dropout_ratio=0.0,
        num_classes=2,
        out_channels=1,
        threshold=0.5,  # a pixel is foreground above this probability
        norm_cfg=_base_.norm_cfg,
        align_corners=False,
        loss_decode=dict(type="monai_place.FocalLogDiceLoss", gamma=2.0, focal_weight=10.0, smooth=1.0),
    ),
)
