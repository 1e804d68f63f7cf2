"""One pass of a model over the records of a split: all that the numbers of an evaluation are made of."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from monai_place.data.radiograph import RadiographError, read_mask
from monai_place.data.reports import report_sentences
from monai_place.data.tokens import EncodedReport
from monai_place.engines.diagnostics import PretrainingDiagnostics
from monai_place.inference.export import build_classifier
from monai_place.inference.images import ImageQueue
from monai_place.inference.labels import label_table
from monai_place.inference.loading import LoadedPLACE
from monai_place.inference.predictor import map_on_picture
from monai_place.inference.prompts import PromptSet
from monai_place.inference.results import FailedImage
from monai_place.inference.text import embed_sentence_lists
from monai_place.losses import PLACELoss
from monai_place.metrics.grounding import contrast_to_noise, mean_threshold_iou, pointing_game, region_area
from monai_place.metrics.location_prior import LocationPrior
from monai_place.networks import ImageFeatures, grounding_maps
from monai_place.transforms.collate import collate_studies
from monai_place.transforms.geometry import fit_geometry
from monai_place.transforms.steps import PictureMove

__all__ = ["CollectedStudies", "GroundingRow", "collect_studies", "fit_location_prior"]

logger = logging.getLogger(__name__)

Record = Mapping[str, Any]


@dataclass(frozen=True)
class GroundingRow:
    """How well one sentence was grounded, by the model and by the location prior.

    Args:
        study: id of the record.
        sentence: number of the sentence in the record.
        finding: class of the finding that it speaks of.
        model: scores by name, see `monai_place.metrics.GroundingScores`.
        prior: the same of the prior; empty without one.
    """

    study: str
    sentence: int
    finding: str
    model: dict[str, float]
    prior: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class CollectedStudies:
    """What a model made of B studies.

    Args:
        ids: of the studies whose image could be read.
        images: (B, D) global embeddings.
        pooled: (B, E) what the image projection was given: the encoder's own features, for a linear probe.
        reports: (B, D) global embeddings; NaN where there is no sentence.
        report_texts: as in the records; "" where there is none.
        labels: (B, C) of 0, 1, NaN; all NaN where there are none.
        classes: C names.
        scores: (B, C) zero-shot scores by mode: global, local, mean.
        diagnostics: numbers of `PretrainingDiagnostics`.
        grounding: one row for each sentence that speaks of a finding with a mask.
        failed: images that could not be read.
        reports_cut: reports longer than the model reads; what was cut away takes no part.
    """

    ids: tuple[str, ...]
    images: torch.Tensor
    pooled: torch.Tensor
    reports: torch.Tensor
    report_texts: tuple[str, ...]
    labels: torch.Tensor
    classes: tuple[str, ...]
    scores: dict[str, torch.Tensor]
    diagnostics: dict[str, float]
    grounding: tuple[GroundingRow, ...]
    failed: tuple[FailedImage, ...]
    reports_cut: int = 0


def fit_location_prior(records: Sequence[Record]) -> LocationPrior | None:
    """Learn where findings usually lie from the masks of training records; None where there are none.

    Args:
        records: from `monai_place.data.load_records`, of the training split.
    """
    prior, seen = LocationPrior(), 0
    for record in records:
        for finding in record.get("findings") or ():
            if finding.get("mask"):
                prior.add(finding, read_mask(finding["mask"]))
                seen += 1
    return prior if seen else None


@torch.no_grad()
def collect_studies(
    loaded: LoadedPLACE,
    records: Sequence[Record],
    *,
    classes: Sequence[str] | None = None,
    prompts: PromptSet | None = None,
    prior: LocationPrior | None = None,
    batch_size: int = 64,
    grounding_limit: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> CollectedStudies:
    """Run a model over records.

    Args:
        loaded: the model.
        records: from `monai_place.data.load_records`.
        classes: names of the entries of `label`; None takes those of the model.
        prompts: of the classes; None takes the built-in set that knows most of them. A class that it does not know gets
            generic ones.
        prior: the location prior to stand beside the grounding.
        batch_size: studies at a time; the right-against-swapped loss is that of batches of this size.
        grounding_limit: ground the sentences of the first so many studies only.
        progress: called with (studies done, studies in all).

    Raises:
        ValueError: there are no records, or a label has another number of entries than `classes`.
    """
    if not records:
        raise ValueError("records is empty; an evaluation needs at least one study")
    loaded.reading.warn_if_other_than(loaded.metadata.get("reading"))
    names = loaded.classes if classes is None else tuple(classes)
    labels = label_table(records, names)
    model, device = loaded.model, loaded.model.log_temperature.device
    classifier = build_classifier(loaded, prompts.select(names) if prompts else names) if names else None
    diagnostics = PretrainingDiagnostics(
        PLACELoss(temperature=loaded.local_temperature, pick_temperature=loaded.pick_temperature)
    )
    kept: list[int] = []
    reports_cut = 0
    parts: dict[str, list[torch.Tensor]] = {}
    grounding: list[GroundingRow] = []
    captured: list[torch.Tensor] = []
    hook = model.image_projection.register_forward_pre_hook(lambda _, arguments: captured.append(arguments[0]))
    pictures = [record["image"] for record in records]
    queue = ImageQueue(pictures, loaded.preprocess, reading=loaded.reading, batch_size=batch_size, progress=progress)
    try:
        for places, image in queue:
            captured.clear()
            chosen = [records[place] for place in places]
            split = [report_sentences(record.get("report") or "") for record in chosen]
            encoded = [loaded.tokenizer.encode(report) for report in split]
            reports_cut += sum(entry.truncated > 0 for entry in encoded)
            batch = _batch(encoded, loaded.tokenizer.pad_id, image, device)
            output = model(batch)
            found = {
                "images": output.image.global_embedding,
                "pooled": captured[0],
                "reports": output.report.global_embedding.masked_fill(~output.report.has_text[:, None], torch.nan),
            }
            if classifier is not None:
                found |= {f"scores {mode}": part for mode, part in classifier.scores_of_features(output.image).items()}
            for name, part in found.items():
                parts.setdefault(name, []).append(part.float().cpu())
            diagnostics.update(model, batch, output)
            for row, (place, record) in enumerate(zip(places, chosen, strict=True)):
                if grounding_limit is None or place < grounding_limit:
                    # The report was read already; a record whose sentences are split in another way is read again.
                    same = [sentence["text"] for sentence in record.get("sentences") or ()] == split[row]
                    embedded = output.report.sentence_embeddings[row][output.report.sentence_mask[row]]
                    known = embedded if same else None
                    grounding += _ground(
                        loaded, record, _single(output.image, row), prior, known, move=queue.moves.get(place)
                    )
            kept += places
    finally:
        hook.remove()
    if not kept:
        raise ValueError(f"none of the {len(records)} images could be read; the first: {queue.failed[0].reason}")
    joined = {name: torch.cat(tensors) for name, tensors in parts.items()}
    return CollectedStudies(
        ids=tuple(str(records[place].get("id", place)) for place in kept),
        images=joined["images"],
        pooled=joined["pooled"],
        reports=joined["reports"],
        report_texts=tuple(str(records[place].get("report") or "") for place in kept),
        labels=labels[kept],
        classes=names,
        scores={mode: joined[f"scores {mode}"] for mode in ("global", "local", "mean") if names},
        diagnostics=diagnostics.compute(),
        grounding=tuple(grounding),
        failed=tuple(queue.failed),
        reports_cut=reports_cut,
    )


def _batch(
    encoded: Sequence[EncodedReport], pad_id: int, image: torch.Tensor, device: torch.device
) -> dict[str, torch.Tensor]:
    items = [{"input_ids": entry.input_ids, "sentence_ids": entry.sentence_ids} for entry in encoded]
    batch = collate_studies(items, pad_id=pad_id, pad_multiple=1)
    return {"image": image.to(device), **{key: value.to(device) for key, value in batch.items()}}


def _single(features: ImageFeatures, row: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, tuple[int, int]]:
    """Return observations, attention, patch values and grid of one image."""
    return (
        features.observations[row].float(),
        features.attention[row].float(),
        features.patch_values[row].float(),
        features.grid,
    )


def _ground(
    loaded: LoadedPLACE,
    record: Record,
    features: tuple[torch.Tensor, torch.Tensor, torch.Tensor, tuple[int, int]],
    prior: LocationPrior | None,
    embedded: torch.Tensor | None,
    *,
    move: PictureMove | None = None,
) -> list[GroundingRow]:
    """Ground the sentences of a record that speak of a finding with a mask, each in the context of its report."""
    sentences, findings = record.get("sentences") or [], record.get("findings") or []
    texts = [sentence["text"] for sentence in sentences]
    wanted = [
        (number, findings[sentence["finding"]])
        for number, sentence in enumerate(sentences)
        # A datalist may name findings that it does not hold, where they were taken out of it with their masks.
        if sentence.get("finding") in range(len(findings)) and sentence.get("polarity") != "negative"
    ]
    wanted = [(number, finding) for number, finding in wanted if finding.get("mask")]
    if not wanted:
        return []
    if embedded is None:
        embedded = embed_sentence_lists(loaded.model, loaded.tokenizer, [texts]).sentences[0]
    wanted = [(number, finding) for number, finding in wanted if number < len(embedded)]  # the others were cut off
    observations, attention, values, grid = features
    rows = embedded[[number for number, _ in wanted]].float().to(observations.device)
    options = {"pick_temperature": loaded.pick_temperature}
    patches = grounding_maps(rows, observations, attention, values, **options).cpu().unflatten(1, grid)
    result = []
    for (number, finding), patch_map in zip(wanted, patches, strict=True):
        region = _region(finding)
        if region is None:
            continue
        spec = loaded.preprocess
        height, width = region.shape if move is None else move.after
        geometry = fit_geometry(height, width, spec.image_size, spec.resize_rule)
        heat = map_on_picture(patch_map[None], geometry)
        heat = (heat if move is None else move.back(heat))[0]
        result.append(
            GroundingRow(
                study=str(record.get("id", "")),
                sentence=number,
                finding=str(finding.get("class", "")),
                model=_scores(heat, region),
                prior={} if prior is None else _scores(_like(prior, finding, heat), region),
            )
        )
    return result


def _region(finding: Mapping[str, Any]) -> npt.NDArray[np.bool_] | None:
    try:
        return read_mask(finding["mask"]) > 0
    except RadiographError as error:
        logger.warning("%s", error)
        return None


def _like(prior: LocationPrior, finding: Mapping[str, Any], heat: torch.Tensor) -> torch.Tensor:
    """Return the prior's map, with no answer where the model has none, so that both are scored on the same pixels."""
    guess = prior.predict(finding, shape=(heat.shape[0], heat.shape[1])).float()
    return guess.masked_fill(heat.isnan(), torch.nan)


def _scores(heat: torch.Tensor, region: npt.NDArray[np.bool_]) -> dict[str, float]:
    """Score one map; thresholds are shares of its largest value, since evidence has no natural scale."""
    inside = torch.from_numpy(region)
    top = float(heat.nan_to_num(0.0).max())
    scaled = heat.clamp(min=0) / top if top > 0 else heat * 0
    return {
        "pointing": float(pointing_game(heat, inside)),
        "contrast_to_noise": float(contrast_to_noise(heat, inside)),
        "signed_contrast_to_noise": float(contrast_to_noise(heat, inside, signed=True)),
        "miou": float(mean_threshold_iou(scaled, inside)),
        "area": float(region_area(heat, inside)),
    }
