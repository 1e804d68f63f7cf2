# place_tiny, for minutes on a CPU: the phantom and covid19-cxr.
# No weights are published: without `bundle` the encoder starts from random weights. Give your own pretraining with
#   --cfg-options model.backbone.bundle=FOLDER_OF_THE_RUN
# (architecture and weights come from there, so it must be a run of the preset place_tiny), or any file of weights with
#   --cfg-options model.backbone.init_cfg.type=Pretrained model.backbone.init_cfg.checkpoint=backbone.safetensors
embed_dim = 192
depth = 4  # blocks; as frozen_stages it freezes the whole encoder
levels = (0, 1, 2, 3)  # blocks whose maps a segmentation head takes
backbone = dict(type="monai_place.PLACEViT", arch="place_tiny", bundle=None)
