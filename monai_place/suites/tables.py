"""The table of a suite: JSON for programs, CSV for spreadsheets, Markdown for a README. The page is in `visualize`."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from monai_place.suites.compare import Difference, SeedEstimate

__all__ = ["SuiteRow", "SuiteTable"]

NOTHING = "\N{EN DASH}"


@dataclass(frozen=True)
class SuiteRow:
    """One line of the table: a task on a data set at a share of the labels, by checkpoint.

    Args:
        task: its title.
        dataset: its name.
        fraction: of the training labels; None where the task trains on none.
        metric: the main metric, in words.
        studies: of the test split that were scored.
        estimates: by checkpoint.
        differences: of the pairs.
        metrics: all metrics by checkpoint, mean over the seeds; None where a number is not defined.
    """

    task: str
    dataset: str
    fraction: float | None
    metric: str
    studies: int
    estimates: dict[str, SeedEstimate]
    differences: list[Difference] = field(default_factory=list)
    metrics: dict[str, dict[str, float | None]] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The line's head: task and share of the labels."""
        return self.task if self.fraction is None else f"{self.task}, {100 * self.fraction:g} %"

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "task": self.task,
            "dataset": self.dataset,
            "fraction": self.fraction,
            "metric": self.metric,
            "studies": self.studies,
            "estimates": {name: estimate.to_dict() for name, estimate in self.estimates.items()},
            "differences": [difference.to_dict() for difference in self.differences],
            "metrics": self.metrics,
        }


@dataclass(frozen=True)
class SuiteTable:
    """All lines of a suite.

    Args:
        name: of the suite.
        split: that was tested.
        rows: the lines.
        checkpoints: names, in the order of the columns.
        failed: (cell, reason) of what could not be measured.
        skipped: (cell, reason) of what does not apply, such as zero-shot for a network without text.
        note: such as "Not a medical device".
    """

    name: str
    split: str
    rows: list[SuiteRow]
    checkpoints: list[str]
    failed: list[tuple[str, str]] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "name": self.name,
            "split": self.split,
            "note": self.note,
            "rows": [row.to_dict() for row in self.rows],
            "failed": [{"cell": cell, "reason": reason} for cell, reason in self.failed],
            "skipped": [{"cell": cell, "reason": reason} for cell, reason in self.skipped],
        }

    def to_csv(self) -> str:
        """Return one line a task, data set, share, checkpoint and metric; the main metric has its interval."""
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        head = ("dataset", "task", "fraction", "studies", "checkpoint", "metric", "mean", "low", "high", "deviation")
        table.writerow((*head, "seeds"))
        for row in self.rows:
            for name, estimate in row.estimates.items():
                start = [_plain(value) for value in (row.dataset, row.task, row.fraction, row.studies, name)]
                ends = (estimate.mean, estimate.low, estimate.high, estimate.deviation, estimate.seeds)
                table.writerow([*start, row.metric, *map(_plain, ends)])
                for metric, value in row.metrics.get(name, {}).items():
                    table.writerow([*start, metric, _plain(value), "", "", "", estimate.seeds])
        return text.getvalue()

    def to_markdown(self) -> str:
        """Return one table a data set: lines are tasks, columns are checkpoints."""
        parts = [f"# {_escape(self.name)}", "", f"Split: {self.split}. {self.note}".rstrip(), ""]
        for dataset in dict.fromkeys(row.dataset for row in self.rows):
            parts += [
                f"## {_escape(dataset)}",
                "",
                f"| | {' | '.join(map(_escape, self.checkpoints))} |",
                "|---" * (1 + len(self.checkpoints)) + "|",
            ]
            rows = [row for row in self.rows if row.dataset == dataset]
            for row in rows:
                cells = [write_estimate(row.estimates.get(name)) for name in self.checkpoints]
                parts.append(f"| {_escape(row.title)}: {row.metric} | {' | '.join(cells)} |")
            parts += ["", *_differences(rows)]
        for title, entries in (("Not measured", self.failed), ("Does not apply", self.skipped)):
            parts += (
                [f"## {title}", "", *(f"- {_escape(cell)}: {_escape(reason)}" for cell, reason in entries), ""]
                if entries
                else []
            )
        return "\n".join(parts).rstrip() + "\n"


def write_estimate(estimate: SeedEstimate | None) -> str:
    """Write a mean with its interval and its deviation over seeds.

    Example:
        >>> write_estimate(SeedEstimate(0.75, 0.7, 0.8, 0.01, 5))
        '0.750 [0.700, 0.800], SD 0.010 (n=5)'
        >>> write_estimate(None)
        '–'
    """
    if estimate is None or estimate.mean != estimate.mean:
        return NOTHING
    interval = "" if estimate.low != estimate.low else f" [{estimate.low:.3f}, {estimate.high:.3f}]"
    spread = "" if estimate.deviation is None else f", SD {estimate.deviation:.3f} (n={estimate.seeds})"
    return f"{estimate.mean:.3f}{interval}{spread}"


def _differences(rows: Sequence[SuiteRow]) -> list[str]:
    lines = [
        f"| {_escape(row.title)} | {_escape(pair.first)} - {_escape(pair.second)} | {_write_difference(pair)} "
        f"| {NOTHING if pair.p_holm != pair.p_holm else format(pair.p_holm, '.3f')} |"
        for row in rows
        for pair in row.differences
    ]
    if not lines:
        return []
    head = ["Paired differences on the same studies and seeds; p by bootstrap, corrected by Holm within a line.", ""]
    return [*head, "| | pair | difference [95 %] | p |", "|---|---|---|---|", *lines, ""]


def _write_difference(pair: Difference) -> str:
    if pair.mean != pair.mean:
        return NOTHING
    return f"{pair.mean:+.3f}" + ("" if pair.low != pair.low else f" [{pair.low:+.3f}, {pair.high:+.3f}]")


def _escape(text: str) -> str:
    """Return a name as Markdown shows it: on one line, in one cell, and not as HTML."""
    for sign in "\\|<>`":
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.split())


def _plain(value: Any) -> Any:
    """Return what a spreadsheet may read: nothing for what is not known, and no text that is taken for a formula."""
    if value is None or value != value:
        return ""
    return f"'{value}" if isinstance(value, str) and value[:1] in tuple("=+-@") else value
