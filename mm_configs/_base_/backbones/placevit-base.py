# place_base, ViT-B/16, for the public sets.
# No weights are published: without `bundle` the encoder starts from random weights. Give your own pretraining with
#   --cfg-options model.backbone.bundle=FOLDER_OF_THE_RUN
# (architecture and weights come from there, so it must be a run of the preset place_base), or any file of weights with
#   --cfg-options model.backbone.init_cfg.type=Pretrained model.backbone.init_cfg.checkpoint=backbone.safetensors
embed_dim = 768
depth = 12  # blocks; as frozen_stages it freezes the whole encoder
levels = (2, 5, 8, 11)  # blocks whose maps a segmentation head takes
backbone = dict(type="monai_place.PLACEViT", arch="place_base", bundle=None)
