"""What the cells of a suite share: loaded networks, cached features, collected studies, and a folder to work in."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_place.data.datalist import SPLITS, load_records, read_datalist
from monai_place.inference.encoders import LoadedEncoder, load_encoder
from monai_place.inference.feature_cache import FeatureCache
from monai_place.inference.fingerprint import model_fingerprint
from monai_place.inference.loading import LoadedPLACE, load_place
from monai_place.inference.prompts import load_prompts
from monai_place.suites.spec import CheckpointSpec, DatasetSpec, SuiteCell

__all__ = ["CellContext"]


@dataclass
class CellContext:
    """Loads each network once while its cells are measured; the last one is kept, since cells come sorted.

    Args:
        folder: of the suite's results.
        split: that is tested.
        device: where networks run.
    """

    folder: Path
    split: str = "test"
    device: str = "cpu"
    _kept: dict[str, tuple[Any, Any]] = field(default_factory=dict, repr=False)

    @property
    def cache(self) -> FeatureCache:
        """Features of frozen encoders."""
        return FeatureCache(self.folder / "features")

    @property
    def work(self) -> Path:
        """A folder for one cell's training; whoever uses it empties it."""
        return self.folder / "work"

    def encoder(self, cell: SuiteCell, kinds: Sequence[str]) -> LoadedEncoder:
        """Return the checkpoint's image encoder; weights that are drawn are drawn from the cell's seed."""
        seed = (cell.seed or 0) if cell.checkpoint.weights == "random" else 0
        return self._keep("encoder", (cell.checkpoint, seed, tuple(kinds)), lambda: self._load(cell, seed, kinds))

    def model(self, cell: SuiteCell) -> LoadedPLACE:
        """Return the checkpoint's whole model."""
        return self._keep("model", cell.checkpoint, lambda: load_place(cell.checkpoint.value, device=self.device))

    def collected(self, cell: SuiteCell, collect: Callable[[], Any]) -> Any:
        """Return what `collect` gives for the cell's checkpoint and data set; computed once for cells in a row."""
        return self._keep("collected", (cell.checkpoint, cell.dataset), collect)

    def classes(self, datalist: str) -> tuple[str, ...]:
        """Return the classes of a datalist."""
        return self._keep("classes", datalist, lambda: tuple(read_datalist(datalist).classes))

    def identity(self, checkpoint: CheckpointSpec, dataset: DatasetSpec) -> dict[str, str]:
        """Return what tells weights, data and code from others: the parts of a cell's key."""
        from monai_place import __version__

        prompts = dataset.prompts
        return {
            "weights": self._keep("weights", checkpoint, lambda: self._fingerprint(checkpoint)),
            "datalist": self._keep("datalist", dataset.datalist, lambda: _data_hash(dataset.datalist)),
            "prompts": "" if prompts is None else str(load_prompts(prompts)),
            "split": self.split,
            "version": __version__,
        }

    def _load(self, cell: SuiteCell, seed: int, kinds: Sequence[str]) -> LoadedEncoder:
        return _load_encoder(cell.checkpoint, seed=seed, kinds=kinds, device=self.device)

    def _fingerprint(self, checkpoint: CheckpointSpec) -> str:
        if checkpoint.kind == "run" and checkpoint.weights is None:
            return model_fingerprint(load_place(checkpoint.value))
        return _load_encoder(checkpoint, seed=0, kinds=None, device="cpu").fingerprint()

    def _keep(self, kind: str, key: Any, make: Callable[[], Any]) -> Any:
        known = self._kept.get(kind)
        if known is None or known[0] != key:
            self._kept.pop(kind, None)  # before the next is loaded: two large models may not fit
            self._kept[kind] = (key, make())
        return self._kept[kind][1]


def _load_encoder(checkpoint: CheckpointSpec, *, seed: int, kinds: Sequence[str] | None, device: str) -> LoadedEncoder:
    name = checkpoint.value if checkpoint.kind == "run" else f"timm:{checkpoint.value}"
    return load_encoder(
        name, weights=checkpoint.weights, image_size=checkpoint.image_size, seed=seed, kinds=kinds, device=device
    )


def _data_hash(datalist: str) -> str:
    """Hash a datalist with its reports, and with size and time of change of each image.

    The same text may stand beside other images: those of another size that `convert` wrote.
    """
    digest = hashlib.sha256(Path(datalist).read_bytes())
    for split in SPLITS:
        for record in load_records(datalist, split, require=()):
            digest.update(f"\0{_told(record.get('image'))}".encode())
            if record.get("report_path"):
                digest.update(str(record.get("report")).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _told(image: object) -> str:
    try:
        told = Path(str(image)).stat()
    except (OSError, ValueError):
        return "missing"
    return f"{told.st_size} {told.st_mtime_ns}"
