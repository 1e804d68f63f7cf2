"""Prompt sets as JSON files, and generic prompts for a finding that has none."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["FindingPrompts", "PromptSet", "builtin_prompt_sets", "generic_prompts", "load_prompts", "prompts_for"]

FOLDER = Path(__file__).parent
# A set that is added later must not change the prompts of findings that one of these knows as well.
FIRST = ("chexpert14", "covid19_cxr", "phantom")
POSITIVE_TEMPLATES = ("There is {finding}.", "{finding} is present.", "Findings are consistent with {finding}.")
NEGATIVE_TEMPLATES = ("No {finding}.", "There is no {finding}.", "No evidence of {finding}.")


@dataclass(frozen=True)
class FindingPrompts:
    """The prompts of one finding; their scores are averaged.

    Args:
        finding: its name, as among the classes of a datalist.
        positive: sentences that say it is there.
        negative: sentences that say it is not.
    """

    finding: str
    positive: tuple[str, ...]
    negative: tuple[str, ...]


@dataclass(frozen=True)
class PromptSet:
    """Prompts of several findings.

    Args:
        name: of the set.
        findings: at least one, each name once.
    """

    name: str
    findings: tuple[FindingPrompts, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the findings, in order."""
        return tuple(entry.finding for entry in self.findings)

    def select(self, classes: Sequence[str]) -> PromptSet:
        """Return the prompts of `classes`, in that order; a finding without prompts gets generic ones.

        Args:
            classes: names; upper and lower case are the same.

        Raises:
            ValueError: there is no name, one is blank, or one stands twice.
        """
        check_names(list(classes), "classes")
        known = {entry.finding.casefold(): entry for entry in self.findings}
        chosen = [
            FindingPrompts(name, entry.positive, entry.negative)
            if (entry := known.get(name.casefold()))
            else generic_prompts(name)
            for name in classes
        ]
        return PromptSet(self.name, tuple(chosen))


def generic_prompts(finding: str) -> FindingPrompts:
    """Return prompts made from the name alone.

    Args:
        finding: as it would stand within a sentence.

    Example:
        >>> generic_prompts("emphysema").positive[0], generic_prompts("emphysema").negative[0]
        ('There is emphysema.', 'No emphysema.')
    """
    filled = [[_sentence(text, finding) for text in group] for group in (POSITIVE_TEMPLATES, NEGATIVE_TEMPLATES)]
    return FindingPrompts(finding, tuple(filled[0]), tuple(filled[1]))


def builtin_prompt_sets() -> tuple[str, ...]:
    """Return the names of the sets that come with the package, those that win where several know as many names first.

    Example:
        >>> builtin_prompt_sets()
        ('chexpert14', 'covid19_cxr', 'phantom', 'chexpert5', 'covidx', 'nih14', 'rsna', 'siim')
    """
    found = sorted(path.stem for path in FOLDER.glob("*.json"))
    return tuple(sorted(found, key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST)))


def load_prompts(name_or_path: str | os.PathLike[str]) -> PromptSet:
    """Read a prompt set and check it.

    Args:
        name_or_path: one of `builtin_prompt_sets`, or a JSON file
            `{"name", "findings": [{"name", "positive": [...], "negative": [...]}]}`.

    Raises:
        ValueError: the file is no prompt set; the message names the file, the finding and the key.
        FileNotFoundError: there is neither a set nor a file of that name.

    Example:
        >>> load_prompts("phantom").classes[0]
        'cardiomegaly'
    """
    name = os.fspath(name_or_path)
    path = FOLDER / f"{name}.json" if name in builtin_prompt_sets() else Path(name)
    if not path.is_file():
        raise FileNotFoundError(
            f"no prompt set {path.name!r}; built in are {builtin_prompt_sets()}, or name a JSON file"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path.name}: not JSON: {error}") from None
    findings = content.get("findings") if isinstance(content, dict) else None
    if not isinstance(findings, list) or not findings:
        raise ValueError(f"{path.name}: key 'findings' must be a list of at least one finding")
    entries = tuple(_entry(item, f"{path.name}: findings[{index}]") for index, item in enumerate(findings))
    check_names([entry.finding for entry in entries], f"{path.name}: names of findings")
    return PromptSet(str(content.get("name", path.stem)), entries)


def prompts_for(classes: Sequence[str]) -> PromptSet:
    """Return prompts for `classes` from the built-in set that knows most of them, generic ones for the rest.

    Args:
        classes: names of findings.

    Raises:
        ValueError: there is no name, one is blank, or one stands twice.

    Example:
        >>> prompts_for(["nodule", "scoliosis"]).findings[1].positive[0]
        'There is scoliosis.'
    """
    check_names(list(classes), "classes")
    wanted = {name.casefold() for name in classes}
    sets = [load_prompts(name) for name in builtin_prompt_sets()]
    best = max(sets, key=lambda candidate: len(wanted & {name.casefold() for name in candidate.classes}))
    return best.select(classes)


def check_names(names: Sequence[Any], what: str) -> None:
    """Raise ValueError for an empty list, a name that is blank, and one that stands twice."""
    folded = [name.casefold() if isinstance(name, str) else "" for name in names]
    if not folded or not all(name.strip() for name in folded):
        raise ValueError(f"{what} must be at least one text, none blank, got {list(names)}")
    if twice := sorted({name for name in folded if folded.count(name) > 1}):
        raise ValueError(f"{what} must differ, {twice} stand twice")


def _entry(item: Any, where: str) -> FindingPrompts:
    if not isinstance(item, dict):
        raise ValueError(f"{where} must be an object, got {type(item).__name__}")
    name = item.get("name")
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"{where}: key 'name' must be text, got {name!r}")
    for key in ("positive", "negative"):
        texts = item.get(key)
        if (
            not isinstance(texts, list)
            or not texts
            or not all(isinstance(text, str) and text.strip() for text in texts)
        ):
            raise ValueError(f"{where} ({name!r}): key {key!r} must be a list of sentences, none blank")
    return FindingPrompts(name, tuple(item["positive"]), tuple(item["negative"]))


def _sentence(template: str, finding: str) -> str:
    text = template.format(finding=finding.strip())
    return text[0].upper() + text[1:]
