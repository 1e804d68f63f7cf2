# SETR with multi-level aggregation: four maps of the encoder, summed from the deepest on, each upsampled.
_base_ = ["./segmentor.py"]
model = dict(
    neck=dict(type="MLANeck", out_channels=256, norm_cfg=_base_.norm_cfg, act_cfg=dict(type="ReLU")),
    decode_head=dict(
        type="SETRMLAHead",
        in_channels=(256, 256, 256, 256),
        in_index=(0, 1, 2, 3),
        channels=512,
        mla_channels=128,
        dropout_ratio=0.0,
        norm_cfg=_base_.norm_cfg,
        align_corners=False,
        loss_decode=_base_.loss_decode,
    ),
)
