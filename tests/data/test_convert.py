from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from monai_place.data.conversion import Conversion
from monai_place.data.convert import convert_datalist
from monai_place.data.datalist import load_records, read_datalist
from monai_place.data.phantom import write_phantom
from monai_place.data.radiograph import read_radiograph
from monai_place.data.verify import verify_datalist


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantom(tmp_path_factory.mktemp("phantom") / "data", studies=12, size=96, seed=3)


def edited(path: Path, change: Any) -> Path:
    content = json.loads(path.read_text())
    content["image_root"] = os.path.relpath(read_datalist(path).root, path.parent)
    change(content)
    other = path.parent / "edited.json"
    other.write_text(json.dumps(content))
    return other


def files(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_converted_datalist_is_sound_and_lies_under_one_root(phantom: Path, tmp_path: Path) -> None:
    report = convert_datalist(phantom, tmp_path / "out", Conversion(48))
    assert report.datalist == tmp_path / "out" / "datalist.json"
    assert verify_datalist(report.datalist) == []
    before, after = read_datalist(phantom), read_datalist(report.datalist)
    assert (after.image_root, after.classes) == (".", before.classes)
    assert "mask_root" not in after.extra
    assert [record["id"] for *_, record in after.records()] == [record["id"] for *_, record in before.records()]
    assert not list(tmp_path.rglob("*.tmp*"))


def test_findings_stay_on_their_place(phantom: Path, tmp_path: Path) -> None:
    convert_datalist(phantom, tmp_path / "out", Conversion(48))
    whole = {record["id"]: record for record in load_records(phantom, "training")}
    seen = 0
    for record in load_records(tmp_path / "out" / "datalist.json", "training"):
        for small, large in zip(record["findings"], whole[record["id"]]["findings"], strict=True):
            if not small.get("mask"):
                continue
            seen += 1
            assert small["box"] == [value / 2 for value in large["box"]]
            with Image.open(small["mask"]) as one, Image.open(large["mask"]) as other:
                assert one.size == (48, 48)
                assert abs(np.asarray(one).mean() - np.asarray(other).mean()) < 2
    assert seen


def test_statistics_are_of_the_training_splits_pixels(phantom: Path, tmp_path: Path) -> None:
    convert_datalist(phantom, tmp_path / "out", Conversion(48, depth=16))
    records = load_records(tmp_path / "out" / "datalist.json", "training")
    pixels = np.concatenate([read_radiograph(record["image"])[0].ravel() for record in records])
    extra = read_datalist(tmp_path / "out" / "datalist.json").extra
    assert extra["pixel_mean"] == pytest.approx(pixels.mean(), abs=2e-6)
    assert extra["pixel_std"] == pytest.approx(pixels.std(), abs=2e-6)


def test_a_second_run_does_nothing_again_and_tells_the_same(phantom: Path, tmp_path: Path) -> None:
    first = convert_datalist(phantom, tmp_path / "out", Conversion(48))
    before = files(tmp_path / "out" / "images")
    text = (tmp_path / "out" / "datalist.json").read_bytes()
    second = convert_datalist(phantom, tmp_path / "out", Conversion(48))
    assert files(tmp_path / "out" / "images") == before
    assert (tmp_path / "out" / "datalist.json").read_bytes() == text
    assert second.to_dict() == first.to_dict()


def test_other_settings_are_done_anew(phantom: Path, tmp_path: Path) -> None:
    convert_datalist(phantom, tmp_path / "out", Conversion(48))
    convert_datalist(phantom, tmp_path / "out", Conversion(32))
    for record in load_records(tmp_path / "out" / "datalist.json", "test"):
        assert read_radiograph(record["image"])[0].shape == (32, 32)


def test_processes_give_the_same_as_one(phantom: Path, tmp_path: Path) -> None:
    for workers in (0, 2):
        convert_datalist(phantom, tmp_path / str(workers), Conversion(48), workers=workers)
    one, two = (
        {name: content for name, (_, content) in files(tmp_path / str(workers)).items() if "conversion" not in name}
        for workers in (0, 2)
    )
    assert one == two


SLOW = """
import sys, time
from pathlib import Path
from monai_place.data import conversion, convert
real = convert.convert_image
def slow(source, target, settings, *, known=None):
    time.sleep(0.05)
    return real(source, target, settings, known=known)
convert.convert_image = slow
convert.convert_datalist(sys.argv[1], sys.argv[2], conversion.Conversion(48))
"""


def test_a_killed_run_goes_on_where_it_was(phantom: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    child = subprocess.Popen([sys.executable, "-c", SLOW, str(phantom), str(out)])
    journal = out / "conversion.jsonl"
    deadline = time.monotonic() + 60
    while not (journal.exists() and journal.read_bytes().count(b"\n") > 4) and time.monotonic() < deadline:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not (out / "datalist.json").exists()
    known = {json.loads(line)[0] for line in journal.read_text().splitlines()[1:] if line.endswith("]")}
    before = files(out / "images")
    done = {name for name in before if Path(name).stem in known}
    assert 0 < len(done) < 12
    report = convert_datalist(phantom, out, Conversion(48))
    after = files(out / "images")
    assert {name: after[name] for name in done} == {name: before[name] for name in done}
    fresh = convert_datalist(phantom, tmp_path / "fresh", Conversion(48))
    assert report.to_dict() == fresh.to_dict()
    assert (out / "datalist.json").read_bytes() == (tmp_path / "fresh" / "datalist.json").read_bytes()


def test_broken_and_missing_files_are_left_out_and_only_the_broken_make_the_job_fail(
    phantom: Path, tmp_path: Path
) -> None:
    root = read_datalist(phantom).root
    (root / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n no more")
    (root / "latin.txt").write_bytes("Keine Ergüsse.".encode("cp1252"))

    def spoil(content: dict[str, Any]) -> None:
        content["training"][0]["image"] = "broken.png"
        content["training"][1]["image"] = "gone.png"
        content["training"][2] |= {"report_path": "latin.txt", "report": None}
        content["training"][3] |= {"report_path": "no.txt", "report": None}
        content["training"][4]["mask"] = "broken.png"

    path = edited(phantom, spoil)
    names = [record["id"] for record in read_datalist(path).splits["training"]]
    report = convert_datalist(path, tmp_path / "out", Conversion(48))
    assert report.left_out == {"image file unreadable": 1, "image file missing": 1, "report file unreadable": 1}
    assert [entry for entry, _ in report.unreadable] == [names[0], names[3], names[4]]
    assert (tmp_path / "out" / "left_out.csv").read_text().count("\n") == 5
    records = {record["id"]: record for record in read_datalist(report.datalist).splits["training"]}
    assert records.keys() == set(names) - {names[0], names[1], names[3]}
    assert records[names[2]]["report"] == "Keine Ergüsse."
    assert "report_path" not in records[names[2]]
    assert "mask" not in records[names[4]]
    assert verify_datalist(report.datalist) == []


def test_the_folder_of_the_source_is_not_written_into(phantom: Path) -> None:
    with pytest.raises(ValueError, match="output must be another folder"):
        convert_datalist(phantom, phantom.parent)


def test_an_id_that_is_used_twice_is_refused(phantom: Path, tmp_path: Path) -> None:
    path = edited(phantom, lambda content: content["test"].append(content["training"][0]))
    with pytest.raises(ValueError, match=r"edited\.json: test\[\d+\]: id '.*' is used twice"):
        convert_datalist(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_limit_is_of_each_split(phantom: Path, tmp_path: Path) -> None:
    report = convert_datalist(phantom, tmp_path / "out", Conversion(48), limit=1)
    assert set(report.splits.values()) == {1}
    with pytest.raises(ValueError, match="limit must be at least 1, got 0"):
        convert_datalist(phantom, tmp_path / "out", limit=0)
