# Mode mgca: resized to 224 whatever the shape, and no augmentation.
# Means and deviations stay those of the weights (the published ones are 0.5 and 0.5).
image_size = (224, 224)
train_pipeline = [
    dict(type="monai_place.SeedSample"),
    dict(type="monai_place.LoadRadiographFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="Resize", scale=image_size, keep_ratio=False),
    dict(type="PackDetInputs"),
]
val_pipeline = [
    dict(type="monai_place.LoadRadiographFromFile"),
    dict(type="Resize", scale=image_size, keep_ratio=False),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(
        type="PackDetInputs",
        meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor", "instances"),
    ),
]
