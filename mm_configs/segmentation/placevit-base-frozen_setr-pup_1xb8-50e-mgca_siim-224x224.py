_base_ = [
    "../_base_/backbones/placevit-base.py",
    "../_base_/models/setr-pup_mgca.py",
    "../_base_/datasets/siim_seg_mgca_224x224.py",
    "../_base_/schedules/seg_mgca_50e.py",
]
model = dict(
    backbone=dict(**_base_.backbone, frozen_stages=_base_.depth),  # the protocol trains the head alone
    decode_head=dict(in_channels=_base_.embed_dim),
)
