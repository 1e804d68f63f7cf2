_base_ = ["./placevit-base_upernet_1xb8-20k_rsna-224x224.py"]
model = dict(backbone=dict(frozen_stages=_base_.depth))  # the whole encoder
