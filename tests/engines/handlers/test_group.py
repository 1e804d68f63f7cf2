"""Several handlers as one."""

from __future__ import annotations

from ignite.engine import Engine, Events

from monai_place.engines.handlers.group import HandlerGroup


class Note:
    """Appends its name to a list after each iteration."""

    def __init__(self, name: str, seen: list[str]) -> None:
        self.name, self.seen = name, seen

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED, lambda _: self.seen.append(self.name))


def test_all_are_attached_in_order() -> None:
    seen: list[str] = []
    engine = Engine(lambda _engine, _batch: None)
    HandlerGroup([Note("a", seen), Note("b", seen)]).attach(engine)
    engine.run([0, 1])
    assert seen == ["a", "b", "a", "b"]
