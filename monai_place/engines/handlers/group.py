"""Several handlers as one, for a bundle's JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["HandlerGroup"]


class HandlerGroup:
    """Attaches handlers in order.

    MONAI's `check_properties` wants every entry of `train#handlers` to be an object with a `_target_`, while a handler
    that serves trainer and evaluator, or that others refer to, has to stand elsewhere and be referred to by name.

    Args:
        handlers: each has `attach(engine)`.

    Example:
        >>> HandlerGroup([]).attach(engine=None)
    """

    def __init__(self, handlers: Sequence[Any]) -> None:
        self.handlers = list(handlers)

    def attach(self, engine: Any) -> None:
        """Attach all to a MONAI trainer or evaluator."""
        for handler in self.handlers:
            handler.attach(engine)
