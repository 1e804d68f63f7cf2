# Mode mgca: resized to 224 whatever the shape; then, of every other picture, scale by 0.1 and rotation by 10 degrees.
# Means and deviations stay those of the weights (the published ones are 0.5 and 0.5).
image_size = (224, 224)
train_pipeline = [
    dict(type="monai_place.SeedSample"),
    dict(type="monai_place.LoadRadiographFromFile"),
    dict(type="monai_place.LoadRadiographMask"),
    dict(type="Resize", scale=image_size, keep_ratio=False),
    dict(
        type="RandomApply",
        prob=0.5,
        transforms=[
            dict(type="RandomResize", scale=image_size, ratio_range=(0.9, 1.1), keep_ratio=False),
            dict(type="RandomRotate", prob=1.0, degree=10.0, pad_val=0, seg_pad_val=0),
            dict(
                type="CenterCrop",
                crop_size=image_size,
                auto_pad=True,
                pad_cfg=dict(type="Pad", pad_val=dict(img=0, seg=0)),
            ),
        ],
    ),
    dict(type="PackSegInputs"),
]
val_pipeline = [
    dict(type="monai_place.LoadRadiographFromFile"),
    dict(type="Resize", scale=image_size, keep_ratio=False),
    dict(type="monai_place.LoadRadiographMask"),
    dict(type="PackSegInputs"),
]
# What MMSegmentation's `inference_model` runs on files: there is no truth.
test_pipeline = [
    dict(type="monai_place.LoadRadiographFromFile"),
    dict(type="Resize", scale=image_size, keep_ratio=False),
    dict(type="PackSegInputs"),
]
