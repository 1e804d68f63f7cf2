# Radiographs and masks at 224 pixels. Nothing is flipped: left and right are part of what a radiograph tells.
image_size = (224, 224)
train_pipeline = [
    dict(type="monai_place.SeedSample"),
    dict(type="monai_place.LoadRadiographFromFile"),
    dict(type="monai_place.LoadRadiographMask"),
    dict(type="RandomResize", scale=image_size, ratio_range=(0.8, 1.25), keep_ratio=False),
    dict(type="RandomCrop", crop_size=image_size),
    dict(type="RandomRotate", prob=0.5, degree=10.0, pad_val=0, seg_pad_val=255),
    dict(
        type="PhotoMetricDistortion",
        brightness_delta=20,
        contrast_range=(0.8, 1.2),
        saturation_range=(1.0, 1.0),
        hue_delta=1,  # the least that it takes; gray has no hue
    ),
    dict(type="PackSegInputs"),
]
val_pipeline = [
    dict(type="monai_place.LoadRadiographFromFile"),
    dict(type="Resize", scale=image_size, keep_ratio=False),
    dict(type="monai_place.LoadRadiographMask"),  # behind Resize: Dice is taken at the size of the picture
    dict(type="PackSegInputs"),
]
# What MMSegmentation's `inference_model` runs on files: there is no truth.
test_pipeline = [
    dict(type="monai_place.LoadRadiographFromFile"),
    dict(type="Resize", scale=image_size, keep_ratio=False),
    dict(type="PackSegInputs"),
]
