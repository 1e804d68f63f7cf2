"""embed and retrieve: indices of images and of reports, several queries, failures, and models that do not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from monai_place.data import load_records, render_study
from monai_place.inference import EmbeddingIndex, load
from tests.support.models import save_tiny_place


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with three radiographs of different shapes, one of them in a folder of its own."""
    folder = tmp_path_factory.mktemp("index") / "pictures"
    (folder / "late").mkdir(parents=True)
    for number, (name, shape) in enumerate({"a.png": (64, 64), "b.png": (50, 80), "late/c.png": (90, 40)}.items()):
        pixels = (render_study(0, number, size=96).image[: shape[0], : shape[1]] * 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / name)
    return folder


@pytest.fixture(scope="session")
def index(model: Path, pictures: Path, call: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an index of the three pictures."""
    folder = tmp_path_factory.mktemp("index") / "images"
    assert call("embed", model, pictures, "-o", folder).code == 0
    return folder


@pytest.fixture(scope="session")
def reports(model: Path, datalist: Path, call: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an index of the reports of the phantom's test split."""
    folder = tmp_path_factory.mktemp("index") / "reports"
    done = call("embed", model, datalist, "--reports", "--split", "test", "-o", folder)
    assert done.code == 0, done.err
    return folder


def test_embed_makes_an_index_and_adds_to_it_when_asked(model: Path, pictures: Path, call: Any, tmp_path: Path) -> None:
    index = tmp_path / "index"
    first = call("embed", model, pictures / "a.png", pictures / "b.png", "-o", index)
    assert (first.code, first.out, first.err) == (0, "", "2 images, 2 in the index\n")
    late = ("embed", model, pictures / "late", "-o", index, "--prefix", "late/")
    refused = call(*late)
    assert (refused.code, refused.err) == (1, "error: 'index' holds an index already; --append adds to it\n")
    assert call(*late, "--append").err == "1 images, 3 in the index\n"
    found = EmbeddingIndex.load(index)
    assert found.ids == ("a.png", "b.png", "late/c.png")
    assert (found.kind, found.model) == ("images", load(model).fingerprint)


def test_a_name_that_is_in_the_index_is_refused_and_the_index_stays(
    model: Path, pictures: Path, call: Any, tmp_path: Path
) -> None:
    index = tmp_path / "index"
    call("embed", model, pictures, "-o", index)
    before = {path.name: path.read_bytes() for path in index.iterdir()}
    done = call("embed", model, pictures / "a.png", "-o", index, "--append")
    assert done.code == 1
    assert "1 of 1 names are in the index already, such as 'a.png'; --prefix" in done.err
    assert {path.name: path.read_bytes() for path in index.iterdir()} == before


def test_embed_lists_broken_files_and_makes_no_empty_index(model: Path, call: Any, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    done = call("embed", model, tmp_path, "-o", tmp_path / "index")
    assert done.code == 1
    assert done.err.startswith("failed: broken.png: ")
    assert not (tmp_path / "index").exists()


def test_images_of_a_datalist_have_the_ids_of_their_records(
    model: Path, datalist: Path, call: Any, tmp_path: Path
) -> None:
    done = call("embed", model, datalist, "--split", "test", "--split", "validation", "-o", tmp_path / "index")
    assert done.code == 0, done.err
    expected = [record["id"] for split in ("test", "validation") for record in load_records(datalist, split)]
    assert EmbeddingIndex.load(tmp_path / "index").ids == tuple(expected)


def test_reports_that_are_missing_are_left_out_and_those_without_a_sentence_listed(
    model: Path, datalist: Path, call: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = json.loads(datalist.read_text())
    records = [{"id": f"r{number}", "image": "a.png"} for number in range(4)]
    for record, text in zip(records, ["No nodule.", None, "___", "There is cardiomegaly."], strict=True):
        record["report"] = text
    (tmp_path / "list.json").write_text(json.dumps(content | {"training": [], "validation": [], "test": records}))
    done = call("embed", model, tmp_path / "list.json", "--reports", "-o", tmp_path / "index")
    assert done.code == 1
    assert "1 of 4 records of split 'test' lack 'report': left out" in caplog.text
    assert done.err == "2 reports, 2 in the index\nfailed: r2: has no sentence\n"
    assert EmbeddingIndex.load(tmp_path / "index").ids == ("r0", "r3")


def test_an_image_finds_itself_first(model: Path, index: Path, pictures: Path, call: Any) -> None:
    done = call("retrieve", model, index, "--image", pictures / "b.png")
    header, _, first, *rest = done.out.splitlines()
    assert header.split() == ["image", "score"]
    assert first.split() == ["b.png", "1.0000"]
    assert len(rest) == 2
    assert "Not a medical device" in done.err


def test_a_text_finds_k_images_in_order(model: Path, index: Path, call: Any) -> None:
    found = call("retrieve", model, index, "--text", "Small left pleural effusion.", "-k", 2, "--json").json()
    assert found["index"] == {"kind": "images", "entries": 3}
    (answer,) = found["results"]
    assert answer["query"] == "Small left pleural effusion."
    assert len(answer["found"]) == 2
    assert answer["found"][0]["score"] >= answer["found"][1]["score"]


def test_an_image_finds_reports_by_the_ids_of_their_records(
    model: Path, reports: Path, datalist: Path, call: Any, pictures: Path
) -> None:
    records = load_records(datalist, "test")
    done = call("retrieve", model, reports, "--image", pictures / "a.png", "-k", 3)
    assert done.out.splitlines()[0].split() == ["report", "score"]
    assert {line.split()[0] for line in done.out.splitlines()[2:]} <= {record["id"] for record in records}
    # The reports lie in the space of the images: the answer is the one that the embeddings give by hand.
    predictor = load(model)
    image = predictor.embed_image(pictures / "a.png").embeddings
    scores = image @ predictor.embed_text([record["report"] for record in records]).reports.T
    assert done.out.splitlines()[2].split()[0] == records[int(scores.argmax())]["id"]


def test_several_images_are_asked_in_one_call_and_broken_ones_listed(
    model: Path, index: Path, pictures: Path, call: Any, tmp_path: Path
) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    words = ("--image", pictures, "--image", tmp_path / "broken.png", "-k", 1)
    done = call("retrieve", model, index, *words, "--json")
    assert done.code == 1
    answers = done.json()["results"]
    assert [Path(answer["query"]).name for answer in answers] == ["a.png", "b.png", "c.png"]
    assert all(answer["query"].endswith(answer["found"][0]["id"]) for answer in answers)
    assert [Path(entry["source"]).name for entry in done.json()["failed"]] == ["broken.png"]
    table = call("retrieve", model, index, *words).out.splitlines()
    assert table[0].split() == ["query", "image", "score"]
    assert len(table) == 5


def test_texts_of_a_file_are_named_by_their_lines(model: Path, index: Path, call: Any, tmp_path: Path) -> None:
    (tmp_path / "queries.txt").write_text("Nodule.\n\n___\nThere is cardiomegaly.\n", encoding="utf-8")
    done = call("retrieve", model, index, "--text", "Edema.", "--text-file", tmp_path / "queries.txt", "--json")
    assert done.code == 1
    assert [answer["query"] for answer in done.json()["results"]] == ["Edema.", "queries.txt:1", "queries.txt:4"]
    assert done.json()["failed"] == [{"source": "queries.txt:3", "reason": "has no sentence"}]
    alone = call("retrieve", model, index, "--text", "There is cardiomegaly.", "--json").json()["results"][0]["found"]
    together = done.json()["results"][2]["found"]
    assert [entry["id"] for entry in together] == [entry["id"] for entry in alone]


def test_another_model_is_refused_for_adding_and_for_searching(
    index: Path, pictures: Path, call: Any, tmp_path: Path
) -> None:
    save_tiny_place(tmp_path / "other", seed=1)
    for words in (
        ("retrieve", tmp_path / "other", index, "--text", "Nodule."),
        ("embed", tmp_path / "other", pictures, "-o", index, "--append", "--prefix", "x/"),
    ):
        done = call(*words)
        assert done.code == 1
        assert "the index was made by another model: fingerprint " in done.err


@pytest.mark.parametrize(
    "words",
    [
        pytest.param((), id="no query"),
        pytest.param(("--text", "Nodule.", "--image", "a.png"), id="image and text"),
        pytest.param(("--text-file", "a.txt", "--image", "a.png"), id="image and texts"),
        pytest.param(("--text", "Nodule.", "-k", 0), id="k"),
    ],
)
def test_queries_are_images_or_texts(words: Any, model: Path, index: Path, call: Any) -> None:
    assert call("retrieve", model, index, *words).code == 2


def test_a_query_without_a_sentence_and_a_folder_without_an_index_are_errors(
    model: Path, index: Path, call: Any, tmp_path: Path
) -> None:
    done = call("retrieve", model, index, "--text", "___")
    assert (done.code, done.err.splitlines()[-1]) == (1, "failed: ___: has no sentence")
    done = call("retrieve", model, tmp_path, "--text", "Nodule.")
    assert done.code == 1
    assert "holds no index" in done.err
    (tmp_path / "blank.txt").write_text("\n")
    assert "blank.txt: no line has a text" in call("retrieve", model, index, "--text-file", tmp_path / "blank.txt").err


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("{pictures}", "--reports"), id="reports of images"),
        pytest.param(("{pictures}", "--split", "test"), id="split of images"),
        pytest.param(("{datalist}", "{pictures}"), id="images and datalists"),
        pytest.param(("{datalist}", "--split", "dev"), id="unknown split"),
        pytest.param(("{pictures}", "--device", "tpu"), id="device"),
    ],
)
def test_bad_usage_of_embed_is_found_before_the_work_begins(
    words: Any, model: Path, pictures: Path, datalist: Path, call: Any, tmp_path: Path
) -> None:
    given = [word.format(pictures=pictures, datalist=datalist) for word in words]
    assert call("embed", model, *given, "-o", tmp_path / "index").code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_missing_image_or_model_and_names_that_stand_twice_are_named(
    model: Path, pictures: Path, datalist: Path, call: Any, tmp_path: Path
) -> None:
    out = ("-o", tmp_path / "index")
    done = call("embed", model, tmp_path / "gone.dcm", *out)
    assert (done.code, done.err) == (1, "error: 'gone.dcm' does not exist\n")
    assert "holds no model of PLACE" in call("embed", tmp_path, pictures, *out).err
    assert "names stand twice among the inputs" in call("embed", model, datalist, datalist, *out).err
