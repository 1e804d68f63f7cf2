# A quarter of the channels, for minutes on a CPU.
_base_ = ["./retinanet.py"]
model = dict(
    neck=dict(out_channels=64),
    bbox_head=dict(in_channels=64, feat_channels=64, stacked_convs=2),
)
