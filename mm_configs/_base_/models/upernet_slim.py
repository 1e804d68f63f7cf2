# A quarter of the channels, for minutes on a CPU.
_base_ = ["./upernet.py"]
model = dict(
    neck=dict(out_channels=64),
    decode_head=dict(in_channels=[64] * 4, channels=64),
    auxiliary_head=dict(in_channels=64, channels=32),
)
