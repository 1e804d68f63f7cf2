_base_ = ["./placevit-base-frozen_yolov3_1xb16-50e-mgca_object-cxr-224x224.py"]
# 1 % of the labels. Quirk 7: the published subset is the second draw behind the seed; this is one nested draw by
# id. For the published one give its list of ids: --cfg-options train_dataloader.dataset.fraction=None
# train_dataloader.dataset.ids=FILE
train_dataloader = dict(batch_size=8, dataset=dict(fraction=0.01))
optim_wrapper = dict(optimizer=dict(lr=0.00025))  # with so few labels
auto_scale_lr = dict(base_batch_size=8)
