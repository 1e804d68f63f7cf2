_base_ = ["./placevit-base_faster-rcnn_1xb8-12e_rsna-512x512.py"]
model = dict(backbone=dict(frozen_stages=_base_.depth))  # the whole encoder
