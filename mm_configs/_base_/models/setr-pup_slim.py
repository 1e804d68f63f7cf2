# A quarter of the channels, for minutes on a CPU.
_base_ = ["./setr-pup.py"]
model = dict(
    decode_head=dict(channels=64),
    auxiliary_head=[dict(head, channels=64) for head in _base_.model.auxiliary_head],
)
