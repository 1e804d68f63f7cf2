# What the loaders share. The order of the training data and the augmentation depend on the seed and on the place in the
# training alone: not on the number of workers, and a resumed training sees what it would have seen.
train_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="monai_place.ResumableSampler", shuffle=True, infinite=True),  # infinite: for IterBasedTrainLoop
)
val_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
)
test_dataloader = val_dataloader
# With another batch, or on several GPUs, --cfg-options auto_scale_lr.enable=True multiplies the learning rate by the
# whole batch over this one; so does --auto-scale-lr of MMDetection's train.py.
auto_scale_lr = dict(enable=False, base_batch_size=8)
