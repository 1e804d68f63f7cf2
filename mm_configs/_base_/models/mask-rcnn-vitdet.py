# Mask R-CNN as ViTDet has it: attention in windows but for a few blocks, a simple pyramid, two convolutions in the RPN,
# four and one fully connected layer in the box head, layer-wise decay of the learning rate, drop path.
_base_ = ["./faster-rcnn.py"]
norm_cfg = dict(type="GN", num_groups=32)  # in place of ViTDet's layer norm over channels; both are free of the batch
model = dict(
    type="MaskRCNN",
    data_preprocessor=dict(pad_mask=True),
    backbone=dict(drop_path_rate=0.1),
    rpn_head=dict(num_convs=2),
    roi_head=dict(
        bbox_head=dict(type="Shared4Conv1FCBBoxHead", conv_out_channels=256, norm_cfg=norm_cfg),
        mask_roi_extractor=dict(
            type="SingleRoIExtractor",
            roi_layer=dict(type="RoIAlign", output_size=14, sampling_ratio=0),
            out_channels=256,
            featmap_strides=[4, 8, 16, 32],
        ),
        mask_head=dict(
            type="FCNMaskHead",
            num_convs=4,
            in_channels=256,
            conv_out_channels=256,
            norm_cfg=norm_cfg,
            loss_mask=dict(type="CrossEntropyLoss", use_mask=True, loss_weight=1.0),
        ),
    ),
    train_cfg=dict(rcnn=dict(mask_size=28)),
    test_cfg=dict(rcnn=dict(mask_thr_binary=0.5)),
)
