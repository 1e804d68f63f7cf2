"""Random transforms that say what they drew, and do it again.

A random transform samples parameters and hands them to a function that is certain. So what happened to a picture can be
logged as plain JSON values, and replayed from them bit for bit, without the generator that drew them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

from monai.transforms import Compose, RandomizableTrait

__all__ = ["ReplayableTransform", "replay_transforms"]


class ReplayableTransform(ABC):
    """What our random transforms have in common; a team's own may have it too.

    Args:
        log_key: key of a record under which `{"transform": name, "parameters": drawn}` is appended to a list, so that a
            batch carries what was drawn for it; None adds nothing.
    """

    log_key: Hashable | None = None

    @abstractmethod
    def parameters(self) -> dict[str, Any] | None:
        """Return what was drawn last, as plain JSON values; None where the record was left as it was."""

    @abstractmethod
    def replay(self, data: Mapping[Hashable, Any], parameters: Mapping[str, Any] | None) -> dict[Hashable, Any]:
        """Do what `parameters` say; nothing is drawn.

        Args:
            data: a record.
            parameters: from `parameters`, perhaps by way of a JSON file.
        """

    def logged(self, data: dict[Hashable, Any]) -> dict[Hashable, Any]:
        """Append what was drawn last to the log of the record, if it keeps one."""
        if self.log_key is not None:
            entry = {"transform": type(self).__name__, "parameters": self.parameters()}
            data[self.log_key] = [*(data.get(self.log_key) or []), entry]
        return data


def replay_transforms(
    transforms: Compose | Sequence[Callable[..., Any]],
    data: Mapping[Hashable, Any],
    log: Sequence[Mapping[str, Any]],
) -> Any:
    """Run a chain on a record with the random numbers of its log.

    Args:
        transforms: the chain that wrote the log.
        data: the record as the chain was given it.
        log: the entries in the order of the chain, one for each random transform.

    Raises:
        ValueError: the log is not of this chain, or a random transform cannot replay.

    Example:
        >>> from monai_place.transforms.text import RandSentencesd
        >>> shuffle = RandSentencesd(shuffle_prob=1.0, log_key="drawn").set_random_state(seed=0)
        >>> drawn = shuffle({"sentence_texts": ["a", "b", "c", "d"]})
        >>> replay_transforms([shuffle], {"sentence_texts": ["a", "b", "c", "d"]}, drawn["drawn"]) == drawn
        True
    """
    steps = Compose(list(transforms.transforms if isinstance(transforms, Compose) else transforms)).flatten()
    entries = list(log)
    for step in steps.transforms:
        if not isinstance(step, ReplayableTransform):
            if isinstance(step, RandomizableTrait):
                raise ValueError(f"{type(step).__name__} draws at random and cannot replay")
            data = step(data)
            continue
        name = type(step).__name__
        if not entries or entries[0]["transform"] != name:
            found = repr(entries[0]["transform"]) if entries else "nothing more"
            raise ValueError(f"the log is not of this chain: it holds {found} where {name!r} comes next")
        data = step.replay(data, entries.pop(0)["parameters"])
    if entries:
        raise ValueError(f"the log is not of this chain: {len(entries)} entries are left over")
    return data
