# Plain folders in MMSegmentation's layout, with the names of TBX11K: img_dir/{train,val,test}/NAME.png and
# ann_dir/{train,val,test}/NAME.png. A mask's pixels are 0, and 1 or 255 in the finding.
_base_ = ["./loaders.py"]
num_classes = 2  # background and tuberculosis
source = dict(
    type="BaseSegDataset",
    data_root="{{$PLACE_DATA:data}}/tbx11k",
    metainfo=dict(classes=("background", "tuberculosis"), palette=[[0, 0, 0], [255, 64, 96]]),
    img_suffix=".png",
    seg_map_suffix=".png",
)
train_dataloader = dict(
    dataset=dict(**source, data_prefix=dict(img_path="img_dir/train", seg_map_path="ann_dir/train"))
)
val_dataloader = dict(
    dataset=dict(**source, data_prefix=dict(img_path="img_dir/val", seg_map_path="ann_dir/val"), test_mode=True)
)
test_dataloader = dict(
    dataset=dict(**source, data_prefix=dict(img_path="img_dir/test", seg_map_path="ann_dir/test"), test_mode=True)
)
