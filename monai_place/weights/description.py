"""Reading the JSON file that describes a folder of weights."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from monai_place.weights.reading import WeightsError

__all__ = ["read_description"]

Description = TypeVar("Description")


def read_description(
    path: str | os.PathLike[str], build: Callable[[Mapping[str, Any]], Description], *, version: int, what: str
) -> Description:
    """Return what `build` makes of a description's content.

    Args:
        path: of the JSON file, which has `format_version` and `package_version`.
        build: takes the content; a lacking or unfit value is its usual exception.
        version: the latest format that is read.
        what: is described, for messages.

    Raises:
        WeightsError: it is damaged, or of a later format.
        FileNotFoundError: there is no such file.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format_version"] > version:
            raise WeightsError(
                f"{path.name}: format {content['format_version']} is newer than {version}, which this version "
                f"reads; it was written by monai-place {content['package_version']}"
            )
        return build(content)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path.name!r} does not exist in folder {path.parent.name!r}") from None
    except WeightsError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise WeightsError(f"{path.name}: not the description of {what}: {type(error).__name__}: {error}") from None
