"""What reports and ids say goes no further than a run needs: not into its logs, curves, history or checkpoints."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from monai_place.data import write_phantom
from tests.support.cli import TINY_SETTINGS, call_command

# Of each record its own, and long enough that no piece of a vocabulary is one by chance.
PLANTED = ("zebulonquimby", "mrnphi", "accnphi", "dayphi", "codephi")
BROKEN = 2


def found_in(data: bytes | str) -> list[str]:
    low = data.lower()
    return [word for word in PLANTED if (word.encode() if isinstance(low, bytes) else word) in low]


def found_below(*folders: Path) -> dict[str, list[str]]:
    """Return what was planted and is in the names or the contents of files."""
    found = {}
    for path in sorted(path for folder in folders for path in (folder.rglob("*") if folder.is_dir() else [folder])):
        if words := [*found_in(path.name), *(found_in(path.read_bytes()) if path.is_file() else [])]:
            found[path.name] = words
    return found


@pytest.fixture
def datalist(tmp_path: Path) -> Path:
    """A datalist that nobody has freed of people, with two broken images in its training split."""
    path = write_phantom(tmp_path / "data", studies=30, size=48, seed=4)
    content = json.loads(path.read_text())
    records = [record for split in ("training", "validation", "test") for record in content[split]]
    for number, record in enumerate(records):
        record["report"] += f" ZebulonQuimby{number:03} was seen, DayPhi{number:03}."
        record["patient_id"], record["study_id"] = f"MRNPHI{record['patient_id']}", f"ACCNPHI{number}"
        record["PatientName"], record["private"] = f"ZebulonQuimby^{number}", {"0011,1001": "CODEPHI"}
    for record in content["training"][:BROKEN]:
        (path.parent / record["image"]).write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(90))
    path.write_text(json.dumps(content))
    return path


@pytest.mark.slow
def test_planted_reports_and_ids_are_in_nothing_that_a_run_leaves(
    datalist: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG, logger="monai_place")
    made, run = tmp_path / "made", tmp_path / "made" / "run"
    said: list[str] = []

    def call(*words: object, code: int = 0) -> Any:
        done = call_command("--verbose", *words)
        said.extend([done.out, done.err])
        assert done.code == code, done.err
        return done

    call("pretrain", datalist, "--out", run, "--preset", "place_tiny", *TINY_SETTINGS, "--set", "on_error=skip")
    call("evaluate", run, datalist, "--bootstrap", 10, "--json", made / "numbers.json")
    call("embed", run, datalist, "--split", "test", "--out", made / "index")
    call("retrieve", run, made / "index", "--text", "No effusion.")
    call("verify", datalist, code=1)

    assert len(list((run / "tensorboard").iterdir())) == 1
    # A vocabulary that is learned of reports has their words, as docs/clinical_teams.md says; nothing else has them.
    (run / "models" / "tokenizer" / "tokenizer.json").unlink()
    assert found_below(made) == {}
    streams = capfd.readouterr()
    assert found_in("".join([*said, streams.out, streams.err])) == []
    assert found_in("\n".join(caplog.handler.format(record) for record in caplog.records)) == []
    skipped = [line for line in (run / "history.jsonl").read_text().splitlines() if '"skipped"' in line]
    assert len(skipped) == BROKEN


def test_the_plants_would_be_found(datalist: Path) -> None:
    assert set(found_below(datalist)["datalist.json"]) == set(PLANTED)
