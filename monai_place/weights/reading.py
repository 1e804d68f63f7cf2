"""Reading weights of unknown origin: no code of a file ever runs, and no file asks for more memory than its own size.

Two formats are read, told by the name's suffix: safetensors, and the zip file that `torch.save` writes. The pickle in
the latter may name what a state dict is made of and nothing else; there is no way around this, on purpose.
"""

from __future__ import annotations

import os
import pickle
import pickletools
import re
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

__all__ = ["WeightsError", "read_safetensors", "read_state_dict"]

TORCH_SUFFIXES = (".pt", ".pth", ".ckpt", ".bin")
WRAPPING_KEYS = ("state_dict", "model", "model_state_dict")
MAX_TENSORS = 20_000  # of a ViT of any size there are hundreds; a header of 100,000 costs seconds
CHUNK_BYTES = 1 << 20

# What the pickle of a state dict names. torch's own list holds more, `bytearray` among it, which allocates as many
# bytes as the file asks for.
ALLOWED_GLOBALS = re.compile(
    r"collections OrderedDict"
    r"|torch._utils _rebuild_(tensor|tensor_v2|tensor_v3|parameter|parameter_with_state)"
    r"|torch ([A-Z][A-Za-z0-9]*Storage|Size|device|u?int\d+|b?float\d+|complex\d+|bool|half|double|long)"
    r"|torch.storage (Untyped|Typed)Storage"
    r"|torch.serialization _get_layout"
)
# What a checkpoint of MMEngine's Runner names beside the weights, in the curves of its losses. None of it is called or
# even imported: `_Ignored` stands in its place, and a tensor can be none of it.
IGNORED_GLOBALS = re.compile(
    r"mmengine\.logging\.history_buffer HistoryBuffer"
    r"|numpy (dtype|ndarray)"
    r"|numpy\._?core\.multiarray (_reconstruct|scalar)"
    r"|_codecs encode"
    r"|builtins getattr"
)


class WeightsError(ValueError):
    """Weights cannot be read or do not fit; the message names the file and the reason."""


def read_state_dict(path: str | os.PathLike[str]) -> dict[str, torch.Tensor]:
    """Read a state dict from a `.safetensors` file, or from a `.pt`, `.pth`, `.ckpt` or `.bin` file of `torch.save`.

    A file of `torch.save` may hold the state dict itself or, under `state_dict`, `model` or `model_state_dict`, beside
    other plain values; the curves that MMEngine's Runner keeps in its checkpoints are passed over. Its tensors are
    mapped from the disk, not copied, after all check sums have been compared.

    Args:
        path: the file.

    Raises:
        WeightsError: the file is damaged, holds anything but tensors, or would run code.
        FileNotFoundError: there is no such file.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     torch.save({"weight": torch.ones(2)}, Path(folder, "a.pt"))
        ...     read_state_dict(Path(folder, "a.pt"))["weight"].tolist()
        [1.0, 1.0]
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        return read_safetensors(path)[0]
    if path.suffix not in TORCH_SUFFIXES:
        raise WeightsError(f"{path.name}: weights end in .safetensors or one of {TORCH_SUFFIXES}")
    _require_file(path)
    names = _check_archive(path)
    passed_over: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
        (_Ignored, name.replace(" ", ".")) for name in names
    ]
    try:
        with torch.serialization.safe_globals(passed_over):
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError, TypeError, KeyError, IndexError, EOFError) as error:
        raise WeightsError(f"{path.name}: torch cannot read it: {_first_line(error)}") from None
    except (AttributeError, OSError, OverflowError, MemoryError, RecursionError) as error:
        raise WeightsError(f"{path.name}: damaged ({type(error).__name__})") from None
    return _tensors(content, path.name)


def read_safetensors(path: str | os.PathLike[str]) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Read the tensors and the metadata of a safetensors file.

    Args:
        path: the file.

    Raises:
        WeightsError: it is no safetensors file, or a damaged one.
        FileNotFoundError: there is no such file.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    _require_file(path)
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            keys = file.keys()
            if len(keys) > MAX_TENSORS:
                raise WeightsError(f"{path.name}: {len(keys)} tensors, at most {MAX_TENSORS} are read")
            return {key: file.get_tensor(key) for key in keys}, file.metadata() or {}
    except WeightsError:
        raise
    except (SafetensorError, ValueError, RuntimeError, OSError, KeyError) as error:
        raise WeightsError(f"{path.name}: not a whole safetensors file: {_first_line(error)}") from None


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise FileNotFoundError(f"weights file {path.name!r} does not exist, or is a folder")


class _Ignored:
    """What stands for an object of no interest: it takes whatever its pickle hands it, and keeps nothing."""

    def __new__(cls, *_: object) -> _Ignored:
        return super().__new__(cls)

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


def _check_archive(path: Path) -> set[str]:
    """Compare all check sums, and look at what the pickle names, before torch opens the file; return what to ignore."""
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            head = file.read(2)
        if head.startswith(b"PK"):
            raise WeightsError(f"{path.name}: truncated or corrupt: the end of the zip file is missing")
        kind = "a pickle, or a file of torch < 1.6" if head.startswith(b"\x80") else "something else"
        raise WeightsError(
            f"{path.name}: not a zip file of torch.save but {kind}; such files are never unpickled. Save the state "
            "dict as safetensors where you trust the file"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            pickled = _check_entries(archive, path)
            names = _named_globals(archive.read(pickled))
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise WeightsError(f"{path.name}: corrupt: {_first_line(error)}") from None
    except (ValueError, OverflowError) as error:
        reason = error if isinstance(error, WeightsError) else f"{path.name}: corrupt: {_first_line(error)}"
        raise WeightsError(str(reason)) from None
    ignored = {name for name in names if IGNORED_GLOBALS.fullmatch(name)}
    if blocked := sorted(name for name in names - ignored if not ALLOWED_GLOBALS.fullmatch(name)):
        listed = ", ".join(repr(name.replace(" ", ".")) for name in blocked[:5])
        raise WeightsError(
            f"{path.name}: refused, because loading it would call {listed}. A file of weights holds tensors only; "
            "nothing of it was executed"
        )
    return ignored


def _check_entries(archive: zipfile.ZipFile, path: Path) -> zipfile.ZipInfo:
    """Return the entry of the pickle.

    Raises:
        WeightsError: the archive is a bomb, a program, damaged or no file of `torch.save`.
    """
    entries = archive.infolist()
    if len(entries) > MAX_TENSORS:
        raise WeightsError(f"{path.name}: {len(entries)} entries, at most {MAX_TENSORS} are read")
    parts = [entry.filename.split("/")[1:] for entry in entries]
    if any(part[:1] in (["code"], ["constants.pkl"]) for part in parts):
        raise WeightsError(f"{path.name}: a TorchScript program, which is code; expected a state dict")
    # torch stores without compression, so no honest file holds more than its own size.
    size = path.stat().st_size
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise WeightsError(f"{path.name}: compressed entries, which torch.save never writes; a decompression bomb?")
    if sum(entry.file_size for entry in entries) > size:
        raise WeightsError(f"{path.name}: its entries claim more than the file's {size} bytes; a decompression bomb?")
    pickled = [entry for entry, part in zip(entries, parts, strict=True) if part == ["data.pkl"]]
    if len(pickled) != 1:
        raise WeightsError(f"{path.name}: {len(pickled)} entries data.pkl, expected 1; not a file of torch.save")
    for entry in entries:
        with archive.open(entry) as file:
            while file.read(CHUNK_BYTES):  # zipfile raises at the end of an entry whose check sum differs
                pass
    return pickled[0]


def _named_globals(data: bytes) -> set[str]:
    """List what a pickle names, `module name` each, without unpickling it."""
    names: set[str] = set()
    for operation, argument, _ in pickletools.genops(data):
        if operation.name in ("GLOBAL", "INST"):
            names.add(str(argument).replace("__builtin__ ", "builtins "))  # protocol 2 speaks of Python 2's module
        elif operation.name == "STACK_GLOBAL" or operation.name.startswith("EXT"):
            # The name is put together while the pickle runs. torch.save writes protocol 2, which does not know it.
            names.add(f"pickle {operation.name}")
    return names


def _tensors(content: Any, name: str) -> dict[str, torch.Tensor]:
    if isinstance(content, Mapping) and not any(isinstance(value, torch.Tensor) for value in content.values()):
        inner = [content[key] for key in WRAPPING_KEYS if isinstance(content.get(key), Mapping)]
        content = inner[0] if inner else content
    if not isinstance(content, Mapping):
        raise WeightsError(f"{name}: holds a {type(content).__name__}, expected a dictionary of tensors")
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor):
            raise WeightsError(f"{name}: entry {key!r:.80} is a {type(value).__name__}, expected a tensor")
        if value.layout != torch.strided or value.is_meta or _is_larger_than_stored(value):
            raise WeightsError(f"{name}: tensor {key!r:.80} {tuple(value.shape)} claims more values than are stored")
    return {key: value.detach() for key, value in content.items()}


def _is_larger_than_stored(tensor: torch.Tensor) -> bool:
    """Tell whether a tensor repeats its values by a stride of 0, so that four bytes stand for terabytes."""
    return tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes()


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
