_base_ = ["./placevit-base_upernet_1xb8-20k_siim-512x512.py"]
train_dataloader = dict(dataset=dict(fraction=0.01))  # 1 % of the labels, drawn by id
