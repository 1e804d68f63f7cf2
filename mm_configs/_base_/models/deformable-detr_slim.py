# A quarter of the channels and half the layers, for minutes on a CPU.
_base_ = ["./deformable-detr.py"]
attention = dict(embed_dims=64)
layer = dict(self_attn_cfg=attention, ffn_cfg=dict(embed_dims=64, feedforward_channels=256))
model = dict(
    num_queries=50,
    neck=dict(out_channels=64),
    encoder=dict(num_layers=3, layer_cfg=layer),
    decoder=dict(num_layers=3, layer_cfg=dict(**layer, cross_attn_cfg=attention)),
    positional_encoding=dict(num_feats=32),
    bbox_head=dict(embed_dims=64),
)
