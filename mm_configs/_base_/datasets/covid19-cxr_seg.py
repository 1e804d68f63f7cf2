# Lungs in covid19-cxr, as `monai-place prepare covid19-cxr` writes it; records without a mask are left out.
_base_ = ["./loaders.py"]
num_classes = 2  # background and lung
source = dict(
    type="monai_place.RadiographSegDataset",
    data_root="{{$PLACE_DATA:data}}/covid19-cxr",
    datalist="datalist.json",
    missing="skip",
)
train_dataloader = dict(dataset=dict(**source, split="training"))
val_dataloader = dict(dataset=dict(**source, split="validation", test_mode=True))
test_dataloader = dict(dataset=dict(**source, split="test", test_mode=True))
