"""Registries of scope `monai_place`, children of MMEngine's root.

MMEngine imports the module of exactly this name for `type='monai_place.X'`, and swallows an error of the import: what
stands here must need nothing but mmengine. The classes themselves lie in `monai_place.mm` and are imported when a
registry is asked for the first time.
"""

from __future__ import annotations

from mmengine.registry import DATA_SAMPLERS as ROOT_DATA_SAMPLERS
from mmengine.registry import DATASETS as ROOT_DATASETS
from mmengine.registry import HOOKS as ROOT_HOOKS
from mmengine.registry import LOOPS as ROOT_LOOPS
from mmengine.registry import METRICS as ROOT_METRICS
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS as ROOT_OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.registry import TASK_UTILS as ROOT_TASK_UTILS
from mmengine.registry import TRANSFORMS as ROOT_TRANSFORMS
from mmengine.registry import Registry

__all__ = [
    "DATASETS",
    "DATA_SAMPLERS",
    "HOOKS",
    "LOOPS",
    "METRICS",
    "MODELS",
    "OPTIM_WRAPPER_CONSTRUCTORS",
    "TASK_UTILS",
    "TRANSFORMS",
]

SCOPE = "monai_place"
# What needs no toolbox, and what needs whichever of the two is installed.
OWN, INSTALLED = ["monai_place.mm"], ["monai_place.mm.installed"]

MODELS = Registry("model", parent=ROOT_MODELS, scope=SCOPE, locations=OWN)
TRANSFORMS = Registry("transform", parent=ROOT_TRANSFORMS, scope=SCOPE, locations=OWN)
HOOKS = Registry("hook", parent=ROOT_HOOKS, scope=SCOPE, locations=OWN)
DATA_SAMPLERS = Registry("data sampler", parent=ROOT_DATA_SAMPLERS, scope=SCOPE, locations=OWN)
LOOPS = Registry("loop", parent=ROOT_LOOPS, scope=SCOPE, locations=OWN)
OPTIM_WRAPPER_CONSTRUCTORS = Registry(
    "optimizer wrapper constructor", parent=ROOT_OPTIM_WRAPPER_CONSTRUCTORS, scope=SCOPE, locations=OWN
)
DATASETS = Registry("dataset", parent=ROOT_DATASETS, scope=SCOPE, locations=INSTALLED)
METRICS = Registry("metric", parent=ROOT_METRICS, scope=SCOPE, locations=INSTALLED)
TASK_UTILS = Registry("task util", parent=ROOT_TASK_UTILS, scope=SCOPE, locations=INSTALLED)
