# RSNA Pneumonia Detection Challenge. Records need `boxes`: an empty list for a picture without opacity; those take
# part in the training and in the evaluation.
_base_ = ["./loaders.py"]
num_classes = 1  # opacity
source = dict(
    type="monai_place.RadiographDetDataset",
    data_root="{{$PLACE_DATA:data}}/rsna",
    datalist="datalist.json",
    class_agnostic="opacity",
)
train_dataloader = dict(sampler=dict(infinite=False), dataset=dict(**source, split="training"))
val_dataloader = dict(dataset=dict(**source, split="validation", test_mode=True))
test_dataloader = dict(dataset=dict(**source, split="test", test_mode=True))
