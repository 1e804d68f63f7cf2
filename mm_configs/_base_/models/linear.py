# Linear probe: one convolution of 1 x 1 on the last map of the frozen encoder.
_base_ = ["./segmentor.py"]
model = dict(
    decode_head=dict(
        type="FCNHead",
        in_index=-1,
        num_convs=0,
        kernel_size=1,
        concat_input=False,
        dropout_ratio=0.0,
        align_corners=False,
        loss_decode=_base_.loss_decode,
    ),
)
