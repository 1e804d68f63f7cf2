# SETR with progressive upsampling: four times convolution and doubling, from the encoder's last map.
_base_ = ["./segmentor.py"]
model = dict(
    decode_head=dict(
        type="SETRUPHead",
        channels=256,
        in_index=3,
        num_convs=4,
        up_scale=2,
        kernel_size=3,
        dropout_ratio=0.0,
        norm_cfg=_base_.norm_cfg,
        align_corners=False,
        loss_decode=_base_.loss_decode,
    ),
    auxiliary_head=[
        dict(
            type="SETRUPHead",
            channels=256,
            in_index=index,
            num_convs=1,
            up_scale=4,
            kernel_size=3,
            dropout_ratio=0.0,
            norm_cfg=_base_.norm_cfg,
            align_corners=False,
            loss_decode=dict(type="CrossEntropyLoss", avg_non_ignore=True, loss_weight=0.4),
        )
        for index in range(3)
    ],
)
