"""The checks that tell whether PLACE learned what it should, with what their numbers say in words."""

from __future__ import annotations

import math
from typing import Any

from monai_place.visualize.estimates import as_estimate, format_number
from monai_place.visualize.inputs import Diagnostic

__all__ = [
    "grounding_diagnostic",
    "report_use_diagnostic",
    "slot_sameness_diagnostic",
    "slot_use_diagnostic",
    "swapped_image_diagnostic",
]


def swapped_image_diagnostic(right: Any, swapped: Any, *, least_gap: float = 1.0) -> Diagnostic:
    """Compare the PCMA loss with the right images to that with the images swapped within the batch.

    Args:
        right: loss with each report beside its own image, in nats.
        swapped: loss with the images swapped.
        least_gap: nats that must lie between the two.

    Example:
        >>> swapped_image_diagnostic(1.25, 1.26).passed
        False
    """
    gap = as_estimate(swapped).value - as_estimate(right).value
    passed = _reaches(gap, least_gap)
    says = _says("the loss depends on the image", "the loss falls without looking at the image", passed=passed)
    return Diagnostic(
        name="Does PCMA look at the image?",
        values={"right image": right, "swapped image": swapped},
        unit="PCMA loss, nats",
        reading=f"Gap {format_number(gap, digits=2)} nats (at least {least_gap:g} wanted): {says}.",
        passed=passed,
    )


def slot_use_diagnostic(perplexity: Any, slots: int) -> Diagnostic:
    """Show how many of the pathology queries are in use.

    Args:
        perplexity: effective number of queries that sentences pick.
        slots: number of queries.
    """
    share = as_estimate(perplexity).value / slots
    return Diagnostic(
        name="How many query slots are in use?",
        values={"slots in use": perplexity},
        unit=f"perplexity, of {slots} slots",
        maximum=float(slots),
        reading=f"{format_number(share * 100, digits=0)} % of the slots. A few percent would mean that they collapsed.",
    )


def slot_sameness_diagnostic(cosine: Any) -> Diagnostic:
    """Show how alike one slot's observation is from image to image.

    Args:
        cosine: mean cosine between the observations of the same slot in two images.
    """
    passed = _reaches(1 - as_estimate(cosine).value, 0.05)
    says = _says("slots answer to the image", "slots are constants: they do not look at the image", passed=passed)
    return Diagnostic(
        name="Do slots change with the image?",
        values={"same slot, two images": cosine},
        unit="cosine; 1 is the same vector in every image",
        maximum=1.0,
        reading=f"{says[0].upper()}{says[1:]}.",
        passed=passed,
    )


def report_use_diagnostic(right: Any, shuffled: Any, *, least_gap: float = 0.01) -> Diagnostic:
    """Compare the image-specific variance that CCE explains with the right report and with a shuffled one.

    Args:
        right: share of variance explained with the right report.
        shuffled: the same with the reports shuffled within the batch.
        least_gap: difference from which on the report counts as used.
    """
    gap = as_estimate(right).value - as_estimate(shuffled).value
    passed = _reaches(gap, least_gap)
    says = _says("the report helps to predict the patches", "the report makes no difference", passed=passed)
    return Diagnostic(
        name="Does CCE read the report?",
        values={"right report": right, "shuffled report": shuffled},
        unit="share of image-specific variance explained",
        reading=f"Gap {format_number(gap, digits=3)}: {says}.",
        passed=passed,
    )


def grounding_diagnostic(model: Any, prior: Any, chance: Any = None) -> Diagnostic:
    """Put the pointing game beside the text-only location prior, without which it misleads.

    Args:
        model: share of sentences whose map peaks inside the true mask.
        prior: the same for a prior that knows where such findings usually lie and sees no image.
        chance: the same for a random pixel.
    """
    values = {"model": model, "text-only prior": prior}
    if chance is not None:
        values["random pixel"] = chance
    passed = _reaches(as_estimate(model).value - as_estimate(prior).value, 0.0)
    says = _says(
        "The maps know at least as much as where such findings usually lie.",
        "Knowing where such findings usually lie does better, without the image: read the maps with care.",
        passed=passed,
    )
    return Diagnostic(
        name="Do the maps beat a location prior?",
        values=values,
        unit="pointing game, share of hits",
        maximum=1.0,
        reading=says,
        passed=passed,
    )


def _reaches(value: float, least: float) -> bool | None:
    """Tell whether `value` reaches `least`; None where there is no value."""
    return None if math.isnan(value) else value >= least


def _says(good: str, bad: str, *, passed: bool | None) -> str:
    return "not measured" if passed is None else good if passed else bad
