# A quarter of the channels, for minutes on a CPU.
_base_ = ["./yolov3.py"]
pyramid, neck = _base_.model.neck
model = dict(
    neck=[
        dict(pyramid, out_channels=[64, 128, 256]),
        dict(neck, in_channels=[256, 128, 64], out_channels=[128, 64, 32]),
    ],
    bbox_head=dict(in_channels=[128, 64, 32], out_channels=[256, 128, 64]),
)
