# RSNA Pneumonia Detection Challenge: the boxes, filled, are the masks, as in the published protocol.
# Records need `boxes`: an empty list for a picture without opacity.
_base_ = ["./loaders.py"]
num_classes = 2  # background and opacity
source = dict(
    type="monai_place.RadiographSegDataset",
    data_root="{{$PLACE_DATA:data}}/rsna",
    datalist="datalist.json",
    mask_from="boxes",
    binary="opacity",
)
train_dataloader = dict(dataset=dict(**source, split="training"))
val_dataloader = dict(dataset=dict(**source, split="validation", test_mode=True))
test_dataloader = dict(dataset=dict(**source, split="test", test_mode=True))
