_base_ = ["./placevit-base_faster-rcnn_1xb8-12e_rsna-512x512.py"]
train_dataloader = dict(dataset=dict(fraction=0.1))  # 10 % of the labels, drawn by id
