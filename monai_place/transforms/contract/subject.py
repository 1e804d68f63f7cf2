"""What is tested: how it is found by name, made, seeded and run."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

from monai.bundle import ConfigParser
from monai.transforms import MapTransform, Randomizable

from monai_place.transforms.contract.sample import IMAGE, Sample

__all__ = ["Subject", "find_object"]


def find_object(name: str) -> Any:
    """Return what `module:Class` means.

    Args:
        name: a module that can be imported, a colon, and the name of a class in it.

    Raises:
        ImportError: there is no such module or name.

    Example:
        >>> find_object("monai_place.transforms:FitRadiographd").__name__
        'FitRadiographd'
    """
    module, separator, attribute = name.partition(":")
    if not separator or not module or not attribute:
        raise ImportError(f"{name!r} is not of the form module:Class")
    try:
        return getattr(importlib.import_module(module), attribute)
    except AttributeError:
        raise ImportError(f"module {module!r} has no {attribute!r}") from None


@dataclass(frozen=True)
class Subject:
    """A transform under test; it is made anew for each trial.

    Args:
        kind: its class, or a function that makes it.
        keys: that it works on, handed over as `keys` where it takes them and `arguments` do not say.
        arguments: of the class, as in a bundle's JSON.
        sample: path of a file which takes the place of the planted picture, for transforms that load.
    """

    kind: Callable[..., Any]
    keys: tuple[str, ...] = (IMAGE,)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    sample: str | None = None

    @property
    def name(self) -> str:
        """Name of the class."""
        return getattr(self.kind, "__name__", type(self.kind).__name__)

    def make(self, **more: Any) -> Any:
        """Return a new transform.

        Args:
            more: arguments beside those of the subject.
        """
        parser = ConfigParser({"arguments": dict(self.arguments)})
        arguments = {**parser.get_parsed_content("arguments"), **more}
        if "keys" not in arguments and self.takes("keys"):
            arguments["keys"] = list(self.keys)
        return self.kind(**arguments)

    def takes(self, argument: str) -> bool:
        """Tell whether the class takes an argument of this name."""
        # MONAI's transforms have a __new__ that takes anything; what counts is __init__.
        made = self.kind.__init__ if inspect.isclass(self.kind) else self.kind
        try:
            return argument in inspect.signature(made).parameters
        except (TypeError, ValueError):  # of a class that is not written in Python
            return False

    def record(self, sample: Sample | None = None) -> dict[Hashable, Any]:
        """Return a fresh record for it."""
        record = (sample or Sample()).record()
        if self.sample is not None:
            record[IMAGE] = self.sample
        return record

    def run(self, sample: Sample | None = None, *, seed: int = 0, transform: Any = None) -> dict[Hashable, Any]:
        """Return what a new transform, seeded where it is random, makes of a fresh record."""
        made = self.make() if transform is None else transform
        if isinstance(made, Randomizable):
            made.set_random_state(seed=seed)
        result: dict[Hashable, Any] = made(self.record(sample))
        return result

    @property
    def is_random(self) -> bool:
        """Whether it draws numbers, in MONAI's way."""
        return isinstance(self.make(), Randomizable)

    @property
    def is_map(self) -> bool:
        """Whether it is one of MONAI's dictionary transforms, with `keys`."""
        return isinstance(self.make(), MapTransform)
