"""Features of a frozen encoder on the disk: computed once, whole or absent, safe for several processes.

A cache is a folder with one folder a key (encoder, preprocessing, kind of features, package version). In it lie blocks,
safetensors files with the features of some images; the JSON in a block's header tells which. A block's name is the hash
of its images, so that two processes that compute the same write the same file, and each takes its name by a rename.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path

import torch

from monai_place.inference.encoders import LoadedEncoder
from monai_place.weights import WeightsError, read_safetensors
from monai_place.weights.backbone import compact, hash_tensors
from monai_place.weights.writing import write_safetensors

__all__ = ["FeatureCache", "file_identity"]

logger = logging.getLogger(__name__)

TENSOR = "features"


def file_identity(path: str | os.PathLike[str]) -> str:
    """Return what a file is known by: a hash of where it lies, its size and when it was changed.

    Raises:
        OSError: there is no such file.
    """
    real = os.path.realpath(path)
    told = Path(real).stat()
    return hashlib.sha256(f"{real}\0{told.st_size}\0{told.st_mtime_ns}".encode()).hexdigest()[:40]


class FeatureCache:
    """Features by encoder, kind and file.

    Args:
        folder: made with the first block.

    Example:
        >>> import tempfile
        >>> cache = FeatureCache(tempfile.mkdtemp())
        >>> cache.store("key", ["a", "b"], torch.eye(2))
        >>> cache.load("key", ["b", "c"])["b"].tolist(), list(cache.load("key", ["c"]))
        ([0.0, 1.0], [])
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)

    @staticmethod
    def key(encoder: LoadedEncoder, kind: str) -> str:
        """Return the name under which an encoder's features of a kind are kept."""
        from monai_place import __version__

        return hashlib.sha256(f"{encoder.fingerprint()}\0{kind}\0{__version__}".encode()).hexdigest()[:40]

    def load(self, key: str, identities: Sequence[str]) -> dict[str, torch.Tensor]:
        """Return the features that are there, by identity.

        A block that is damaged is as if it were not there, which is logged.
        """
        wanted, found = set(identities), dict[str, torch.Tensor]()
        folder = self.folder / key
        for path in sorted(folder.glob("*.safetensors")) if folder.is_dir() else []:
            if path.name.startswith("."):  # half written
                continue
            if wanted <= found.keys():
                break
            for identity, row in self._read(path, key):
                if identity in wanted:
                    found[identity] = row.clone()
        return found

    def store(self, key: str, identities: Sequence[str], features: torch.Tensor) -> None:
        """Write the features (B, ...) of B images as a block.

        Raises:
            ValueError: the numbers of images and of features differ.
        """
        if len(identities) != len(features):
            raise ValueError(f"{len(identities)} images have {len(features)} rows of features")
        if not identities:
            return
        tensors = {TENSOR: compact(features.float())}
        name = hashlib.sha256("\0".join(identities).encode()).hexdigest()[:40]
        header = {"key": key, "images": json.dumps(list(identities)), "tensors_sha256": hash_tensors(tensors)}
        write_safetensors(self.folder / key / f"{name}.safetensors", tensors, header)

    @staticmethod
    def _read(path: Path, key: str) -> list[tuple[str, torch.Tensor]]:
        try:
            tensors, header = read_safetensors(path)
            images = json.loads(header["images"])
            if header["key"] != key or header["tensors_sha256"] != hash_tensors(tensors):
                raise WeightsError(f"{path.name}: its features are not those that were written")
            return list(zip(images, tensors[TENSOR], strict=True))
        except (WeightsError, FileNotFoundError, KeyError, ValueError) as error:
            logger.warning("a block of features is left aside and computed anew: %s", error)
            return []
