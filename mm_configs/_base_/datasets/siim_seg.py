# SIIM-ACR Pneumothorax: records need `mask`, a PNG of 0, and of anything else in the pneumothorax.
_base_ = ["./loaders.py"]
num_classes = 2  # background and pneumothorax
source = dict(
    type="monai_place.RadiographSegDataset",
    data_root="{{$PLACE_DATA:data}}/siim",
    datalist="datalist.json",
    mask_format="binary",
    binary="pneumothorax",
)
train_dataloader = dict(dataset=dict(**source, split="training"))
val_dataloader = dict(dataset=dict(**source, split="validation", test_mode=True))
test_dataloader = dict(dataset=dict(**source, split="test", test_mode=True))
