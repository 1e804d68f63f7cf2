"""The MONAI bundle `place`: where it is, how a run becomes a bundle of its own, how it is started."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from monai_place.atomic import write_bytes_atomic, write_json_atomic

__all__ = [
    "FEATURES",
    "add_bundle_files",
    "bundle_folder",
    "bundle_run_command",
    "new_bundle",
    "read_run_settings",
    "run_bundle",
]

SETTINGS = "run.json"
FEATURES = "features"  # cache of a run, of whole files with keys; it serves the next run after one that failed
PARTS = ("configs", "docs", "LICENSE")
WRAPPINGS = ("Failed to evaluate", "Failed to instantiate")  # what MONAI's parser makes of any error


def bundle_folder(name: str = "place") -> Path:
    """Return the folder of a bundle that comes with the package: beside it in a clone, inside it when installed.

    Args:
        name: of the bundle.

    Raises:
        FileNotFoundError: there is no such bundle.

    Example:
        >>> (bundle_folder() / "configs" / "train.json").is_file()
        True
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "bundles" / name, package.parent / "bundles" / name):
        if (folder / "configs" / "metadata.json").is_file():
            return folder
    raise FileNotFoundError(f"there is no bundle {name!r} in this installation of monai-place")


def new_bundle(folder: str | os.PathLike[str]) -> Path:
    """Make `folder` a bundle: copies of the configs, docs and license. Weights come from training.

    Args:
        folder: made where it is missing. A bundle that is there keeps its configs, so that a resumed run is the same.

    Raises:
        FileExistsError: `folder` holds files of something else.
    """
    folder = Path(folder)
    if (folder / "configs" / "train.json").is_file():
        return folder
    if folder.is_dir() and any(folder.iterdir()):
        raise FileExistsError(f"{folder.name!r} is not empty and is no run; choose a new folder")
    add_bundle_files(folder)
    return folder


def add_bundle_files(folder: str | os.PathLike[str], source: str | os.PathLike[str] | None = None) -> None:
    """Copy configs, docs and license of a bundle into `folder`, each where it is missing.

    Args:
        folder: made where it is missing.
        source: a bundle; None, or a folder that holds none, takes the package's.
    """
    folder = Path(folder)
    bundle = Path(source) if source and Path(source, "configs", "metadata.json").is_file() else bundle_folder()
    folder.mkdir(parents=True, exist_ok=True)
    for part in reversed(PARTS):  # the configs last: with them it is a run
        if (folder / part).exists() or not (bundle / part).exists():
            continue
        temporary = folder / f".{part}.tmp"  # a part that is there is whole
        if (bundle / part).is_dir():
            shutil.copytree(bundle / part, temporary, copy_function=shutil.copyfile, dirs_exist_ok=True)
        else:
            shutil.copyfile(bundle / part, temporary)
        temporary.rename(folder / part)


def read_run_settings(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what the run in `folder` was started with.

    Raises:
        FileNotFoundError: there is no run.
    """
    path = Path(folder) / SETTINGS
    if not path.is_file():
        raise FileNotFoundError(f"{Path(folder).name!r} holds no run ({SETTINGS}) to resume")
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return values


def bundle_run_command(
    folder: str | os.PathLike[str],
    settings: Mapping[str, Any],
    *,
    config: str | Sequence[str] = "train.json",
    output: str | os.PathLike[str] | None = None,
) -> str:
    """Return the shell command that does what `run_bundle` does.

    Args:
        folder: of the bundle.
        settings: of the run.
        config: file in the bundle's `configs`; of several a later one overrides those before it.
        output: see `run_bundle`.

    Example:
        >>> bundle_run_command("RUN", {"lr": 0.001})
        'python -m monai.bundle run --config_file RUN/configs/train.json --bundle_root RUN --lr 0.001'
    """
    files = [str(Path(folder) / "configs" / name) for name in ([config] if isinstance(config, str) else config)]
    words = ["python", "-m", "monai.bundle", "run", "--config_file", files[0] if len(files) == 1 else repr(files)]
    words += ["--bundle_root", str(folder)] + ([] if output is None else ["--output_dir", str(output)])
    for key, value in settings.items():
        words += [f"--{key}", value if isinstance(value, str) else repr(value)]  # MONAI reads Python, not JSON
    return shlex.join(words)


def run_bundle(
    folder: str | os.PathLike[str],
    settings: Mapping[str, Any],
    *,
    config: str | Sequence[str] = "train.json",
    output: str | os.PathLike[str] | None = None,
) -> None:
    """Run configs of the bundle in `folder` in this process, as `python -m monai.bundle run` does.

    Args:
        folder: of the bundle, see `new_bundle`.
        settings: overrides of the config; kept in `run.json`, without `resume`. A run that fails before it has written
            anything leaves no `run.json`, or the one that was there.
        config: file in the bundle's `configs`; of several a later one overrides those before it.
        output: where the run writes, and where `run.json` lies; None is the bundle itself.

    Raises:
        Exception: what the run raised, without the wrapping of MONAI's parser, which hides it.
    """
    import monai.bundle

    kept = {key: value for key, value in settings.items() if key != "resume"}
    files = [str(Path(folder) / "configs" / name) for name in ([config] if isinstance(config, str) else config)]
    places = {"bundle_root": str(folder)} | ({} if output is None else {"output_dir": str(output)})
    with _keep_settings(Path(folder if output is None else output), kept), warnings.catch_warnings():
        # MONAI tells of every config that it is a program; this one is the user's own folder, made from our bundle.
        warnings.filterwarnings("ignore", "parsing config_file", UserWarning)
        try:
            monai.bundle.run(config_file=files, **places, **settings)
        except RuntimeError as error:
            cause: BaseException = error
            while cause.__cause__ is not None and str(cause).startswith(WRAPPINGS):
                cause = cause.__cause__
            raise cause from None


@contextmanager
def _keep_settings(folder: Path, settings: Mapping[str, Any]) -> Iterator[None]:
    """Write `run.json`, and take it back where the run ends with an error and has written nothing else."""
    made = not folder.exists()
    path = folder / SETTINGS
    old = path.read_bytes() if path.is_file() else None
    before = _written_files(folder)
    write_json_atomic(path, settings)
    try:
        yield
    except Exception:
        if _written_files(folder) == before:
            if old is not None:
                write_bytes_atomic(path, old)
            else:
                path.unlink(missing_ok=True)
            if made and not any(folder.iterdir()):
                folder.rmdir()
        raise


def _written_files(folder: Path) -> dict[Path, tuple[int, int]]:
    """Return what a run has written, with time and size, but for its settings and features."""
    found: dict[Path, tuple[int, int]] = {}
    for entry in folder.iterdir() if folder.is_dir() else ():
        if entry.name not in (SETTINGS, FEATURES):
            files = [path for path in (entry.rglob("*") if entry.is_dir() else (entry,)) if path.is_file()]
            found |= {path: ((status := path.stat()).st_mtime_ns, status.st_size) for path in files}
    return found
