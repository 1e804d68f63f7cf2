# Lungs in covid19-cxr, as `monai-place prepare covid19-cxr` writes it; records without boxes are left out.
_base_ = ["./loaders.py"]
num_classes = 2
source = dict(
    type="monai_place.RadiographDetDataset",
    data_root="{{$PLACE_DATA:data}}/covid19-cxr",
    datalist="datalist.json",
    classes=["right lung", "left lung"],
    missing="skip",
)
train_dataloader = dict(dataset=dict(**source, split="training"))
val_dataloader = dict(dataset=dict(**source, split="validation", test_mode=True))
test_dataloader = dict(dataset=dict(**source, split="test", test_mode=True))
