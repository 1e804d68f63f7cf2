"""Reports of images, each sentence with its evidence. Not a medical device."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import get_args

import torch

from monai_place.data.written import WrittenSentence, read_written
from monai_place.inference.generator_loading import LoadedGenerator, load_generator
from monai_place.inference.images import ImageInput, ImageQueue
from monai_place.inference.predictor import map_on_picture
from monai_place.inference.report_results import (
    EvidenceChoice,
    GeneratedReport,
    GeneratedReports,
    GeneratedSentence,
)
from monai_place.inference.text import embed_sentence_lists
from monai_place.networks import GenerationSettings, ImageFeatures, grounding_maps
from monai_place.transforms.collate import collate_studies
from monai_place.transforms.reading import ImageReading

__all__ = ["ReportWriter", "load_report_generator"]


def load_report_generator(
    path: str | os.PathLike[str],
    *,
    device: torch.device | str | None = None,
    reading: ImageReading | None = None,
) -> ReportWriter:
    """Load a report generator for use.

    Args:
        path: its folder, a run of `monai-place train-report`, or the root of a bundle.
        device: where it runs; None takes a GPU where there is one.
        reading: a team's own reader and steps; None takes ours.

    Raises:
        FileNotFoundError: there is no generator.
        ValueError: a part of it is damaged, or the parts do not belong together.
    """
    chosen = device if device is not None else ("cuda" if torch.cuda.is_available() else "cpu")
    return ReportWriter(load_generator(path, device=chosen, reading=reading))


class ReportWriter:
    """A report generator and its preprocessing. It drafts; it is not a medical device.

    Images are files, arrays or tensors, as for `PLACEPredictor`. A file that cannot be used is listed under `failed` in
    the result, and the others go on.

    Args:
        loaded: from `load_generator`.
        batch_size: images at a time.
    """

    def __init__(self, loaded: LoadedGenerator, *, batch_size: int = 16) -> None:
        loaded.reading.warn_if_other_than(loaded.metadata.get("reading"))
        self.loaded = loaded
        self.batch_size = batch_size

    @torch.no_grad()
    def generate(
        self,
        images: ImageInput | Sequence[ImageInput],
        *,
        indications: str | Sequence[str | None] | None = None,
        settings: GenerationSettings | None = None,
        evidence: EvidenceChoice | None = "attention",
        progress: Callable[[int, int], None] | None = None,
    ) -> GeneratedReports:
        """Write a report of each image.

        The evidence of a sentence is a map over the image. `attention`: while its tokens were written, the decoder's
        cross-attention (mean over layers, heads and tokens) lay on observations (V-PORs), and each observation was
        drawn from patches; the product of both tells the patches, and sums to 1. It tells where the decoder looked,
        which is not always why it wrote. `grounding`: PLACE's report encoder reads the sentence, and it is grounded as
        by `PLACEPredictor.ground`; that tells what PLACE finds there, not where the decoder looked.

        Args:
            images: one or many.
            indications: why each study was made: one for all, or one an image; None leaves the prompt empty.
            settings: controls of decoding; None is greedy.
            evidence: which maps; None leaves them out.
            progress: called with (images done, images in all).

        Raises:
            ValueError: the indications are not one an image, or `evidence` is unknown.
        """
        if evidence is not None and evidence not in get_args(EvidenceChoice):
            raise ValueError(f"evidence must be None or one of {get_args(EvidenceChoice)}, got {evidence!r}")
        loaded = self.loaded
        queue = ImageQueue(
            images, loaded.preprocess, reading=loaded.reading, batch_size=self.batch_size, progress=progress
        )
        told = _one_an_image(indications, len(queue.images))
        results = []
        for places, batch in queue:
            features = loaded.model.encode_image(batch.to(loaded.device))
            prompts = [loaded.report_format.encode_prompt(loaded.tokenizer, told[place]) for place in places]
            written = self._write(features, prompts, settings)
            for row, place in enumerate(places):
                sentences = read_written(loaded.tokenizer, written[row], loaded.report_format.sections)
                maps = self._maps(features, row, prompts[row].tolist(), written[row], sentences, evidence)
                results.append(self._report(queue, place, features.grid, sentences, maps))
        return GeneratedReports(tuple(results), tuple(queue.failed))

    def _write(
        self, features: ImageFeatures, prompts: Sequence[object], settings: GenerationSettings | None
    ) -> list[list[int]]:
        items = [{"input_ids": torch.as_tensor(prompt)} for prompt in prompts]
        batch = collate_studies(items, pad_id=self.loaded.tokenizer.pad_id, pad_multiple=1)
        inputs = {key: batch[key].to(self.loaded.device) for key in ("input_ids", "attention_mask")}
        inputs |= {"patch_tokens": features.patch_tokens, "observations": features.observations}
        chosen, room = settings or GenerationSettings(), self.loaded.report_format.room
        most = room if chosen.max_tokens is None else min(room, chosen.max_tokens)
        chosen = replace(chosen, max_tokens=most, min_tokens=min(chosen.min_tokens, most))
        return [row.tolist() for row in self.loaded.model.generate(inputs, chosen)]

    def _maps(
        self,
        features: ImageFeatures,
        row: int,
        prompt: list[int],
        written: list[int],
        sentences: Sequence[WrittenSentence],
        evidence: EvidenceChoice | None,
    ) -> tuple[torch.Tensor, list[float]] | None:
        """Return maps over patches (S, N) and scores; None where nothing is asked for, or written."""
        if evidence is None or not sentences:
            return None
        if evidence == "grounding":
            return self._ground(features, row, [sentence.text for sentence in sentences])
        single = {"patch_tokens": features.patch_tokens[row, None], "observations": features.observations[row, None]}
        memory = self.loaded.model.image_memory(single)
        patches, observations = self.loaded.model.cross_attention(memory, [*prompt, *written])
        rows = []
        for sentence in sentences:
            tokens = slice(len(prompt) + sentence.start, len(prompt) + max(sentence.end, sentence.start + 1))
            if observations.shape[1]:
                looked = observations[tokens].mean(dim=0)  # (K,)
                looked = looked @ features.attention[row].float()  # (N,)
            else:
                looked = patches[tokens].mean(dim=0)
            rows.append(looked / looked.sum().clamp(min=1e-12))
        return torch.stack(rows).cpu(), [float("nan")] * len(rows)

    def _ground(self, features: ImageFeatures, row: int, texts: list[str]) -> tuple[torch.Tensor, list[float]]:
        loaded = self.loaded
        embedded = embed_sentence_lists(
            loaded.model.place, loaded.place_tokenizer, [[text] for text in texts]
        ).sentences
        found = grounding_maps(
            torch.cat(embedded).to(loaded.device),
            features.observations[row].float(),
            features.attention[row].float(),
            features.patch_values[row].float(),
            pick_temperature=loaded.pick_temperature,
        ).cpu()
        return found, found.sum(dim=1).tolist()

    def _report(
        self,
        queue: ImageQueue,
        place: int,
        grid: tuple[int, int],
        sentences: Sequence[WrittenSentence],
        maps: tuple[torch.Tensor, list[float]] | None,
    ) -> GeneratedReport:
        if maps is None:
            made = tuple(GeneratedSentence(sentence.text, sentence.section) for sentence in sentences)
        else:
            heat = map_on_picture(maps[0].unflatten(1, grid), queue.geometries[place])  # (S, H, W)
            if (move := queue.moves.get(place)) is not None:
                heat = move.back(heat)
            made = tuple(
                GeneratedSentence(sentence.text, sentence.section, layer.numpy(), score)
                for sentence, layer, score in zip(sentences, heat, maps[1], strict=True)
            )
        return GeneratedReport(place, queue.names[place], made, self.loaded.report_format.sections)


def _one_an_image(indications: str | Sequence[str | None] | None, count: int) -> list[str | None]:
    if indications is None or isinstance(indications, str):
        return [indications] * count
    if len(indications) != count:
        raise ValueError(f"indications must be one an image, {count}, got {len(indications)}")
    return list(indications)
