_base_ = ["./placevit-tiny_setr-pup_1xb8-2k_covid19-cxr-224x224.py"]
model = dict(backbone=dict(frozen_stages=_base_.depth))  # the whole encoder
