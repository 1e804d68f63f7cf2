"""One object for all that a pretrained model does with files: embed, classify, retrieve, ground."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import overload

import torch
import torch.nn.functional as F

from monai_place.inference.classifier import PLACEFindingClassifier, ScoreMode
from monai_place.inference.export import build_classifier
from monai_place.inference.fingerprint import model_fingerprint
from monai_place.inference.images import ImageInput, ImageQueue, PreparedImage, prepare_image, source_names
from monai_place.inference.index import EmbeddingIndex, SearchResult
from monai_place.inference.loading import LoadedPLACE, load_place
from monai_place.inference.prompts import PromptSet, prompts_for
from monai_place.inference.results import Classification, FindingScores, GroundedSentence, ImageEmbeddings
from monai_place.inference.text import TextEmbeddings, embed_reports, embed_sentences
from monai_place.networks import ImageFeatures, grounding_maps
from monai_place.transforms.geometry import FitGeometry, unfit_image
from monai_place.transforms.reading import ImageReading

__all__ = ["PLACEPredictor", "load", "map_on_picture"]


def load(
    path: str | os.PathLike[str],
    *,
    device: torch.device | str | None = None,
    reading: ImageReading | None = None,
) -> PLACEPredictor:
    """Load a pretrained model for use.

    Args:
        path: a model folder, a run folder or the root of a bundle.
        device: where it runs; None takes a GPU where there is one.
        reading: a team's own reader and steps; None takes ours.

    Raises:
        FileNotFoundError: there is no model.
        ValueError: a part of it is damaged, or the parts do not belong together.
    """
    chosen = device if device is not None else ("cuda" if torch.cuda.is_available() else "cpu")
    return PLACEPredictor(load_place(path, device=chosen, reading=reading))


def map_on_picture(maps: torch.Tensor, geometry: FitGeometry) -> torch.Tensor:
    """Take maps over patches back to the pixels of the picture.

    Args:
        maps: (S, h, w), one value a patch.
        geometry: how the picture lay on the square.

    Returns:
        (S, H, W) float32; NaN where the picture was cut away.
    """
    square = F.interpolate(maps[None].float(), (geometry.image_size,) * 2, mode="bilinear")[0]
    return unfit_image(square, geometry, fill=torch.nan)


class PLACEPredictor:
    """A pretrained model and its preprocessing. Not a medical device.

    Images are files (DICOM, NIfTI, PNG, JPEG), arrays or tensors (H, W) in [0, 1], one or a list of them. A file that
    cannot be used is listed under `failed` in the result, and the others go on.

    Args:
        loaded: from `load_place`.
        batch_size: images at a time.
    """

    def __init__(self, loaded: LoadedPLACE, *, batch_size: int = 16) -> None:
        self.loaded = loaded
        self.batch_size = batch_size
        loaded.reading.warn_if_other_than(loaded.metadata.get("reading"))
        self._classifiers: dict[tuple[PromptSet, ScoreMode], PLACEFindingClassifier] = {}

    @property
    def device(self) -> torch.device:
        """Where the model runs."""
        return self.loaded.model.log_temperature.device

    @property
    def classes(self) -> tuple[str, ...]:
        """Findings of the data that the model was trained on."""
        return self.loaded.classes

    @cached_property
    def fingerprint(self) -> str:
        """What its embeddings are known by, see `model_fingerprint`."""
        return model_fingerprint(self.loaded)

    @torch.no_grad()
    def embed_image(
        self, images: ImageInput | Sequence[ImageInput], *, progress: Callable[[int, int], None] | None = None
    ) -> ImageEmbeddings:
        """Return the global embeddings of images.

        Args:
            images: one or many.
            progress: called with (images done, images in all).
        """
        queue = self._queue(images, progress)
        rows, places = [torch.zeros(0, self.loaded.model.config.joint_dim)], []
        for part, batch in queue:
            rows.append(self.loaded.model.encode_image(batch.to(self.device)).global_embedding.float().cpu())
            places += part
        names = tuple(queue.names[place] for place in places)
        return ImageEmbeddings(torch.cat(rows), tuple(places), names, tuple(queue.failed))

    def embed_text(self, texts: str | Sequence[str]) -> TextEmbeddings:
        """Return the embeddings of reports and of their sentences.

        Args:
            texts: one or many; headings are taken out, sentences are found.
        """
        listed = [texts] if isinstance(texts, str) else list(texts)
        return embed_reports(self.loaded.model, self.loaded.tokenizer, listed)

    @torch.no_grad()
    def classify(
        self,
        images: ImageInput | Sequence[ImageInput],
        findings: Sequence[str] | PromptSet | None = None,
        *,
        mode: ScoreMode = "mean",
        progress: Callable[[int, int], None] | None = None,
    ) -> Classification:
        """Return zero-shot probabilities of findings.

        Args:
            images: one or many.
            findings: names, or prompts; None takes the classes that the model was trained on.
            mode: `global`, `local` or `mean`; see `PLACEFindingClassifier`.
            progress: called with (images done, images in all).

        Raises:
            ValueError: no findings are given and the model has no classes, or `mode` is unknown.
        """
        classifier = self.classifier(findings, mode=mode)
        queue = self._queue(images, progress)
        results = []
        for places, batch in queue:
            scores = classifier.scores(batch.to(self.device)).float().cpu()
            for place, row, probabilities in zip(places, scores.tolist(), scores.sigmoid().tolist(), strict=True):
                names = classifier.classes
                results.append(
                    FindingScores(
                        index=place,
                        source=queue.names[place],
                        probabilities=dict(zip(names, probabilities, strict=True)),
                        scores=dict(zip(names, row, strict=True)),
                    )
                )
        return Classification(tuple(classifier.classes), mode, tuple(results), tuple(queue.failed))

    def retrieve(
        self, index: EmbeddingIndex, *, image: ImageInput | None = None, text: str | None = None, k: int = 10
    ) -> SearchResult:
        """Find what is most like an image or a text in an index of images or of reports.

        Args:
            index: embeddings of this model.
            image: the query; or
            text: the query.
            k: entries wanted.

        Raises:
            ValueError: both queries are given or none, the text has no sentence, or another model made the index.
            RadiographError: the image's file cannot be used.
        """
        if (image is None) == (text is None):
            raise ValueError("give an image or a text to look for, and not both")
        if index.model is not None:
            index.require_model(self.fingerprint)
        if text is not None:
            query = self.embed_text(text).reports
            if query.isnan().any():
                raise ValueError("the text has no sentence to look for")
        else:
            assert image is not None
            query = self._features(image)[0].global_embedding.float().cpu()
        return index.search(query, k=k)

    @overload
    def ground(self, image: ImageInput, text: str) -> GroundedSentence: ...  # type: ignore[overload-overlap]

    @overload
    def ground(self, image: ImageInput, text: Sequence[str]) -> tuple[GroundedSentence, ...]: ...

    @torch.no_grad()
    def ground(self, image: ImageInput, text: str | Sequence[str]) -> GroundedSentence | tuple[GroundedSentence, ...]:
        """Return where the image shows what a sentence says, on the pixels of the image as it was given.

        Args:
            image: one image.
            text: a sentence, or several; a tuple is returned for several.

        Raises:
            RadiographError: the image's file cannot be used.
            ValueError: a sentence is blank.
        """
        texts = [text] if isinstance(text, str) else list(text)
        _, sentences = embed_sentences(self.loaded.model, self.loaded.tokenizer, texts)
        features, prepared = self._features(image)
        patches = grounding_maps(
            sentences.to(self.device),
            features.observations[0].float(),
            features.attention[0].float(),
            features.patch_values[0].float(),
            pick_temperature=self.loaded.pick_temperature,
        ).cpu()  # (S, N)
        maps = map_on_picture(patches.unflatten(1, features.grid), prepared.geometry)
        if prepared.move is not None:
            maps = prepared.move.back(maps)
        source = source_names([image])[0]
        grounded = tuple(
            GroundedSentence(source, sentence, evidence.numpy(), float(score))
            for sentence, evidence, score in zip(texts, maps, patches.sum(dim=1), strict=True)
        )
        return grounded[0] if isinstance(text, str) else grounded

    def classifier(
        self, findings: Sequence[str] | PromptSet | None = None, *, mode: ScoreMode = "mean"
    ) -> PLACEFindingClassifier:
        """Return the network that `classify` uses; it shares the model's weights.

        Args:
            findings: see `classify`.
            mode: see `classify`.
        """
        chosen = self.classes if findings is None else findings
        if not chosen:
            raise ValueError("the model was trained without classes; name the findings to look for")
        prompts = chosen if isinstance(chosen, PromptSet) else prompts_for(chosen)
        key = (prompts, mode)
        if key not in self._classifiers:
            made = build_classifier(self.loaded, prompts, mode=mode)
            for name in ("image_encoder", "image_projection", "extractor"):
                setattr(made, name, getattr(self.loaded.model, name))
            self._classifiers = {key: made}  # the last one; a bank is small, but sets may be many
        return self._classifiers[key]

    @torch.no_grad()
    def _features(self, image: ImageInput) -> tuple[ImageFeatures, PreparedImage]:
        prepared = prepare_image(image, self.loaded.preprocess, self.loaded.reading)
        return self.loaded.model.encode_image(prepared.tensor[None].to(self.device)), prepared

    def _queue(
        self, images: ImageInput | Sequence[ImageInput], progress: Callable[[int, int], None] | None
    ) -> ImageQueue:
        return ImageQueue(
            images,
            self.loaded.preprocess,
            reading=self.loaded.reading,
            batch_size=self.batch_size,
            progress=progress,
        )
