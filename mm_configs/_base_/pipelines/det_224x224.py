# Radiographs and boxes at 224 pixels. Nothing is flipped: left and right are part of what a radiograph tells.
image_size = (224, 224)
train_pipeline = [
    dict(type="monai_place.SeedSample"),
    dict(type="monai_place.LoadRadiographFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="RandomResize", scale=image_size, ratio_range=(0.8, 1.25), keep_ratio=True),
    dict(type="RandomCrop", crop_size=image_size, allow_negative_crop=True),
    dict(
        type="PhotoMetricDistortion",
        brightness_delta=20,
        contrast_range=(0.8, 1.2),
        saturation_range=(1.0, 1.0),
        hue_delta=0,
    ),
    dict(type="PackDetInputs"),
]
val_pipeline = [
    dict(type="monai_place.LoadRadiographFromFile"),
    dict(type="Resize", scale=image_size, keep_ratio=True),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(
        type="PackDetInputs",
        # instances: the truth as RadiographAPMetric takes it, in pixels of the picture
        meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor", "instances"),
    ),
]
