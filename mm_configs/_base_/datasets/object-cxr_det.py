# Object-CXR: foreign objects. Records need `boxes`: an empty list for a picture without any.
_base_ = ["./loaders.py"]
num_classes = 1  # foreign object
source = dict(
    type="monai_place.RadiographDetDataset",
    data_root="{{$PLACE_DATA:data}}/object-cxr",
    datalist="datalist.json",
    class_agnostic="foreign object",
)
train_dataloader = dict(sampler=dict(infinite=False), dataset=dict(**source, split="training"))
val_dataloader = dict(dataset=dict(**source, split="validation", test_mode=True))
test_dataloader = dict(dataset=dict(**source, split="test", test_mode=True))
