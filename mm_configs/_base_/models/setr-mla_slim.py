# A quarter of the channels, for minutes on a CPU.
_base_ = ["./setr-mla.py"]
model = dict(
    neck=dict(out_channels=64),
    decode_head=dict(in_channels=(64, 64, 64, 64), channels=4 * 32, mla_channels=32),
)
