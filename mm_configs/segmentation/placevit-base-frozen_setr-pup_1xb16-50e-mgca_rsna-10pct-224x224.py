_base_ = ["./placevit-base-frozen_setr-pup_1xb16-50e-mgca_rsna-224x224.py"]
# 10 % of the labels. Quirk 7: the published subset is the second draw behind the seed; this is one nested draw by
# id. For the published one give its list of ids: --cfg-options train_dataloader.dataset.fraction=None
# train_dataloader.dataset.ids=FILE
train_dataloader = dict(dataset=dict(fraction=0.1))
