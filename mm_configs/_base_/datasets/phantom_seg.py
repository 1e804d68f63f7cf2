# The built-in phantom, as `monai-place phantom` writes it: seven findings.
_base_ = ["./loaders.py"]
num_classes = 8  # background and the findings
source = dict(
    type="monai_place.RadiographSegDataset",
    data_root="{{$PLACE_DATA:data}}/phantom",
    datalist="datalist.json",
)
train_dataloader = dict(dataset=dict(**source, split="training"))
val_dataloader = dict(dataset=dict(**source, split="validation", test_mode=True))
test_dataloader = dict(dataset=dict(**source, split="test", test_mode=True))
