"""Reading and writing the files of a tokenizer, in the layout of `transformers`."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_place.atomic import write_text_atomic

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["load_fast_tokenizer", "save_fast_tokenizer"]

ROLES = ("pad", "unk", "cls", "sep", "mask")
STAND_INS = {"cls": "bos", "sep": "eos", "pad": "eos"}
DEFAULT_LENGTH = 512
TOKENIZER_FILES = frozenset(
    {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt", "added_tokens.json"}
)


def load_fast_tokenizer(
    name_or_folder: str | os.PathLike[str], *, revision: str | None, local_files_only: bool | None
) -> tuple[Tokenizer, dict[str, str], int]:
    """Return the fast tokenizer, its special tokens by role, and the longest sequence it was saved for.

    Raises:
        FileNotFoundError: nothing is there under that name.
        ValueError: it is no fast tokenizer, or lacks a special token.
    """
    from transformers import AutoTokenizer

    name = os.fspath(name_or_folder)
    is_folder = Path(name).is_dir()
    if not is_folder and _looks_like_path(name):
        raise FileNotFoundError(f"tokenizer folder {Path(name).name!r} does not exist")
    options: dict[str, Any] = {"trust_remote_code": False, "use_fast": True}
    if is_folder or local_files_only is not None:  # else transformers follows HF_HUB_OFFLINE
        options["local_files_only"] = is_folder if local_files_only is None else local_files_only
    if revision is not None:
        options["revision"] = revision
    label = Path(name).name if is_folder else name
    try:
        loaded = AutoTokenizer.from_pretrained(name, **options)
    except OSError as error:
        raise FileNotFoundError(f"no tokenizer found for {label!r} ({type(error).__name__})") from error
    except (ValueError, KeyError, TypeError, AttributeError, ImportError) as error:
        raise ValueError(f"{label!r} holds no tokenizer that can be read: {type(error).__name__}") from error
    backend = getattr(loaded, "backend_tokenizer", None)
    if backend is None:
        raise ValueError(f"tokenizer {label!r} ({type(loaded).__name__}) is not a fast one (tokenizers library)")
    if len(backend.get_vocab()) <= len(
        loaded.all_special_tokens
    ):  # transformers 5 makes one up where files are missing
        raise ValueError(f"{label!r} holds no vocabulary, only special tokens; expected tokenizer.json or vocab.txt")
    special_tokens = _special_tokens(loaded)
    if missing := [role for role in ROLES[:4] if role not in special_tokens]:
        raise ValueError(f"tokenizer {label!r} has no {', '.join(missing)} token; pad, unk, cls and sep are needed")
    length = int(min(loaded.model_max_length, 1e9))  # transformers writes 1e30 for "not known"
    return backend, special_tokens, length if length < 1e6 else DEFAULT_LENGTH


def save_fast_tokenizer(tokenizer: Tokenizer, special_tokens: dict[str, str], max_tokens: int, folder: Path) -> Path:
    """Write the files into a temporary folder beside `folder` and rename it.

    Raises:
        FileExistsError: `folder` is there and holds something that is no tokenizer.
    """
    if folder.exists() and (not folder.is_dir() or {path.name for path in folder.iterdir()} - TOKENIZER_FILES):
        raise FileExistsError(f"{folder.name!r} exists and holds other files than a tokenizer's; it is left as it is")
    folder.parent.mkdir(parents=True, exist_ok=True)
    config: dict[str, Any] = {f"{role}_token": token for role, token in special_tokens.items()}
    config |= {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": max_tokens}
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent))
    try:
        written = temporary / "tokenizer"
        written.mkdir()  # by mkdir, so that its mode follows the umask
        write_text_atomic(written / "tokenizer.json", tokenizer.to_str(pretty=True))
        write_text_atomic(written / "tokenizer_config.json", json.dumps(config, indent=2, ensure_ascii=False) + "\n")
        if folder.exists():  # a folder cannot be replaced in one step everywhere; the old one goes back on failure
            folder.rename(temporary / "old")
        try:
            written.rename(folder)
        except OSError:
            if (temporary / "old").exists():
                (temporary / "old").rename(folder)
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _special_tokens(loaded: Any) -> dict[str, str]:
    """Return the special tokens by role; GPT-2 and its kin mark a text's begin and end alone, and never pad."""
    found = {}
    for role in ROLES:
        token = getattr(loaded, f"{role}_token", None)
        if token is None and role in STAND_INS:
            token = getattr(loaded, f"{STAND_INS[role]}_token", None)
        if token is not None:
            found[role] = str(token)
    return found


def _looks_like_path(name: str) -> bool:
    return Path(name).is_absolute() or name.startswith((".", "~")) or "\\" in name or name.count("/") > 1
