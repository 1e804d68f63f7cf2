# What every training shares.
custom_imports = dict(imports=["monai_place.mm"], allow_failed_imports=False)
env_cfg = dict(
    cudnn_benchmark=False,  # it would choose other algorithms each time
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
    dist_cfg=dict(backend="nccl"),
)
randomness = dict(seed=42)
# Stopped and resumed, a training goes on as if it had never stopped.
custom_hooks = [dict(type="monai_place.ExactResumeHook")]
vis_backends = [dict(type="LocalVisBackend"), dict(type="TensorboardVisBackend")]
default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=50),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(type="CheckpointHook", max_keep_ckpts=2),
    sampler_seed=dict(type="DistSamplerSeedHook"),
    # The first pictures of each validation and test, with truth and prediction, as files and in TensorBoard.
    visualization=dict(type="monai_place.RadiographVisualizationHook", pictures=4),
)
log_level = "INFO"
load_from = None
resume = False
