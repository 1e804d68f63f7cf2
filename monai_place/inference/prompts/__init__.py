"""Prompts: sentences that say a finding is there, and sentences that say it is not, for zero-shot classification."""

from __future__ import annotations

from monai_place.inference.prompts.prompt_set import (
    FindingPrompts,
    PromptSet,
    builtin_prompt_sets,
    generic_prompts,
    load_prompts,
    prompts_for,
)

__all__ = [
    "FindingPrompts",
    "PromptSet",
    "builtin_prompt_sets",
    "generic_prompts",
    "load_prompts",
    "prompts_for",
]
