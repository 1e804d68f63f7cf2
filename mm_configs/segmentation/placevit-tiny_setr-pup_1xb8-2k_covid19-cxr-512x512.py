_base_ = [
    "../_base_/backbones/placevit-tiny.py",
    "../_base_/models/setr-pup_slim.py",
    "../_base_/datasets/covid19-cxr_seg_512x512.py",
    "../_base_/schedules/seg_2k.py",
]
heads = dict(in_channels=_base_.embed_dim, num_classes=_base_.num_classes)
model = dict(
    backbone=dict(**_base_.backbone, out_indices=_base_.levels),
    decode_head=heads,
    auxiliary_head=[dict(head, **heads) for head in _base_.model.auxiliary_head],
)
