"""Commands for MMDetection and MMSegmentation: config-path, train-mm, test-mm."""

from __future__ import annotations

import argparse
import os
import pickle
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monai_place.cli.common import Override, clean_errors, reading_of

if TYPE_CHECKING:
    from mmengine.config import Config
    from mmengine.runner import Runner

__all__ = ["COMMANDS", "read_by", "read_mm_config"]


# What takes `reading`; the first must be there.
READERS = ("LoadRadiographFromFile", "RadiographDetDataset", "RadiographVisualizationHook")


class Launcher(str, Enum):
    """Who started the processes of a training."""

    NONE = "none"
    PYTORCH = "pytorch"
    SLURM = "slurm"
    MPI = "mpi"


# What is in the environment of a process that a launcher started.
SET_BY = {Launcher.PYTORCH: "RANK", Launcher.SLURM: "SLURM_PROCID", Launcher.MPI: "OMPI_COMM_WORLD_LOCAL_RANK"}
START = "for pytorch: torchrun --nproc_per_node=2 --no-python monai-place train-mm CONFIG --launcher pytorch"


def print_config_path(
    name: Annotated[str | None, typer.Argument(help="Name of a config; without it all names are listed.")] = None,
) -> None:
    """Print where a config of MMDetection or MMSegmentation lies, or list them all."""
    from monai_place import config_files

    if name is None:
        typer.echo("\n".join(config_files.config_names()))
        return
    try:
        typer.echo(config_files.config_path(name))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="NAME") from None


Options = Annotated[
    list[str] | None,
    typer.Option("--cfg-options", metavar="KEY=VALUE", help="Setting of the config; any number of them."),
]
MoreOptions = Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="As --cfg-options.")]
WorkDir = Annotated[Path | None, typer.Option(help="Folder of the run; else work_dirs/NAME.")]
StartedBy = Annotated[Launcher, typer.Option(help="Who started the processes; pytorch is torchrun.")]


def train_mm(
    config: Annotated[str, typer.Argument(help="Name or file of a config.")],
    more: MoreOptions = None,
    cfg_options: Options = None,
    work_dir: WorkDir = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the folder's last checkpoint.")] = False,  # noqa: FBT002
    amp: Annotated[bool, typer.Option("--amp", help="Train in mixed precision, on a GPU.")] = False,  # noqa: FBT002
    launcher: StartedBy = Launcher.NONE,
    override: Override = None,
) -> None:
    """Train by a config of MMDetection or MMSegmentation, as their tools/train.py does, with monai_place.mm imported.

    On several GPUs: torchrun --nproc_per_node=2 --no-python monai-place train-mm CONFIG --launcher pytorch
    """
    with clean_errors():
        from mmengine.device import get_device

        if amp and (device := get_device()) in ("cpu", "mps"):
            raise typer.BadParameter(f"MMEngine has no mixed precision on {device}", param_hint="--amp")
        settings = _read_for_run(config, [*(cfg_options or []), *(more or [])], work_dir, launcher)
        _check_data_are_there(settings, "train_dataloader", "val_dataloader")
        settings.resume = resume
        read_by(settings, override)
        if amp:
            settings.optim_wrapper.update(type="AmpOptimWrapper", loss_scale="dynamic")
        _build_runner(settings).train()


def evaluate_mm(
    config: Annotated[str, typer.Argument(help="Name or file of a config.")],
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint of a training by this config.")],
    more: MoreOptions = None,
    cfg_options: Options = None,
    work_dir: WorkDir = None,
    launcher: StartedBy = Launcher.NONE,
    override: Override = None,
) -> None:
    """Test a checkpoint on the config's test split, as the tools/test.py of MMDetection and MMSegmentation do.

    The results are in the folder of the run, as JSON.
    """
    with clean_errors():
        _check_loads(checkpoint)
        settings = _read_for_run(config, [*(cfg_options or []), *(more or [])], work_dir, launcher)
        _check_data_are_there(settings, "test_dataloader")
        settings.load_from, settings.resume = str(checkpoint), False
        read_by(settings, override)
        _build_runner(settings).test()


def _read_for_run(config: str, options: list[str], work_dir: Path | None, launcher: Launcher) -> Config:
    """Read a config and say where the run lies and who started it."""
    from mmengine.device import get_device

    import monai_place.mm  # noqa: F401  (the operators, before the config can import a toolbox)

    if launcher in SET_BY and SET_BY[launcher] not in os.environ:
        raise typer.BadParameter(f"{launcher.value} did not start this process; {START}", param_hint="--launcher")
    if launcher in SET_BY and (device := get_device()) in ("cpu", "mps"):
        raise typer.BadParameter(f"MMEngine has no several processes on {device}", param_hint="--launcher")
    settings = read_mm_config(config, options)
    settings.launcher = launcher.value
    if work_dir is not None:
        settings.work_dir = str(work_dir)
    elif settings.get("work_dir") is None:
        settings.work_dir = str(Path("work_dirs", Path(config).stem if config.endswith(".py") else config))
    os.environ.setdefault("LOCAL_RANK", "0")  # the toolboxes' own tools set it, and so does torchrun
    return settings


def _build_runner(settings: Config) -> Runner:
    """Return MMEngine's Runner of a config.

    Raises:
        ValueError: the config names a class or an argument that is not there.
    """
    from mmengine.runner import Runner

    try:
        return Runner.from_cfg(settings)
    except (TypeError, KeyError) as error:
        raise ValueError(f"the config cannot be built: {error.args[0] if error.args else error}") from error


def _check_data_are_there(settings: Config, *loaders: str) -> None:
    """Look for the folders of a config's data sets and for their datalists, before anything is built.

    Raises:
        FileNotFoundError: one is not there; the message names what writes it.
    """
    for loader in loaders:
        dataset = (settings.get(loader) or {}).get("dataset") or {}
        root, file = dataset.get("data_root"), dataset.get("datalist") or ""
        if not isinstance(root, str) or not isinstance(file, str) or "://" in root or Path(root, file).exists():
            continue  # MMEngine reads from stores of other kinds, too
        name = Path(root).name
        raise FileNotFoundError(
            f"{Path(name, file).as_posix()} of {loader} does not exist; {_what_writes(name)}. Data sets are looked for "
            "in the folder that the environment variable PLACE_DATA names, else in data"
        )


def _what_writes(name: str) -> str:
    from monai_place.data.sources import SOURCES

    if name == "phantom":
        return "monai-place phantom data/phantom writes it"
    if name == "tbx11k":
        return "it has img_dir and ann_dir, each with train, val and test"
    if name in SOURCES:
        return f"monai-place prepare {name} FOLDER data/{name} writes it"
    return "data_root of the config names its folder"


def _check_loads(checkpoint: Path) -> None:
    """Read a checkpoint as MMEngine will, before anything is built.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no checkpoint.
    """
    from mmengine.runner import CheckpointLoader

    if not checkpoint.is_file():
        raise FileNotFoundError(f"{checkpoint.name!r} does not exist")
    try:
        CheckpointLoader.load_checkpoint(str(checkpoint), map_location="cpu")
    except (
        pickle.UnpicklingError,
        RuntimeError,
        LookupError,
        TypeError,
        ValueError,
        EOFError,
        AttributeError,
    ) as error:
        raise ValueError(f"{checkpoint.name!r} is no checkpoint that can be read, or a damaged one") from error


def read_mm_config(config: str, options: list[str]) -> Config:
    """Read a config by its name or file, with some settings changed.

    Args:
        config: a name that `config_path` knows, or a file.
        options: `key=value`, as `--cfg-options` of the toolboxes' own tools.

    Raises:
        typer.BadParameter: there is no such config, or an option is not of that form.
    """
    from mmengine.config import Config, DictAction

    from monai_place import config_files

    if wrong := [option for option in options if not option.partition("=")[1] or option.startswith("=")]:
        raise typer.BadParameter(f"{wrong[0]!r} is not of the form key=value", param_hint="--cfg-options")
    try:
        file = config if Path(config).is_file() else config_files.config_path(config)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="CONFIG") from None
    settings = Config.fromfile(file)
    if options:
        parser = argparse.ArgumentParser()
        parser.add_argument("--cfg-options", nargs="+", action=DictAction)
        try:
            changes: dict[str, Any] = parser.parse_args(["--cfg-options", *options]).cfg_options
            settings.merge_from_dict(changes)
        except (AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
            # an unbalanced bracket, a place beyond the end of a list, a setting below one that has no parts
            raise typer.BadParameter(f"{error.args[0]!s:.200}", param_hint="--cfg-options") from error
    return settings


def read_by(settings: Config, override: Path | None) -> None:
    """Let every data set and pipeline of a config read pictures by the `reader` and the `image_steps` of a JSON file.

    Args:
        settings: changed in place.
        override: the file; nothing happens without one.

    Raises:
        ValueError: the config nowhere loads pictures by LoadRadiographFromFile.
    """
    if override is None:
        return
    reading_of(override)  # refuses a file that cannot be used, before anything is built
    if not _set_reading(settings._cfg_dict, str(override.absolute())):
        raise ValueError("the config loads no picture by LoadRadiographFromFile, which takes a reader and steps")


def _set_reading(value: Any, reading: str) -> int:
    if isinstance(value, dict):
        kind = str(value.get("type", "")).rpartition(".")[2]
        if kind in READERS:
            value["reading"] = reading
        return int(kind == READERS[0]) + sum(_set_reading(part, reading) for part in list(value.values()))
    if isinstance(value, (list, tuple)):
        return sum(_set_reading(part, reading) for part in value)
    return 0


# The commands' names. As a function's, the first would stand in the way of what MONAI finds by its bare name, and the
# second would look like a test.
print_config_path.__name__, evaluate_mm.__name__ = "config_path", "test_mm"
COMMANDS = (print_config_path, train_mm, evaluate_mm)
