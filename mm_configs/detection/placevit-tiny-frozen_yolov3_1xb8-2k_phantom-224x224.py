_base_ = ["./placevit-tiny_yolov3_1xb8-2k_phantom-224x224.py"]
model = dict(backbone=dict(frozen_stages=_base_.depth))  # the whole encoder
