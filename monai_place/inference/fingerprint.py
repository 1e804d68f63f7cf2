"""What tells one model from another: whether embeddings of two models may be compared."""

from __future__ import annotations

import hashlib
import json

from monai_place.inference.loading import LoadedPLACE
from monai_place.weights.backbone import compact, hash_tensors

__all__ = ["model_fingerprint"]


def model_fingerprint(loaded: LoadedPLACE) -> str:
    """Return a SHA-256 (hex) of all that an embedding depends on: weights, preprocessing, reading and tokenizer.

    Epoch, classes, prompts and the version of the package take no part: the same model in another folder, or with
    another prompt bank, has the same fingerprint.

    Args:
        loaded: from `load_place`, on any device.
    """
    parts = {
        "weights": hash_tensors({name: compact(value) for name, value in loaded.model.state_dict().items()}),
        "reading": loaded.reading.describe(),
        "preprocess": loaded.preprocess.to_dict(),
        "tokenizer": loaded.tokenizer.fingerprint,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
