"""metadata.json: the schema, the network that it describes, versions, and nothing in it that MONAI would evaluate."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import monai.bundle
import pytest
from monai.bundle import ConfigParser

import monai_place
from monai_place.data.phantom import PHANTOM_CLASSES
from monai_place.inference.prompts import prompts_for
from monai_place.networks import place_preset
from tests.bundles.conftest import BUNDLE, ROOT

SCHEMA = Path(__file__).with_name("meta_schema_20240725.json")
CONFIGS = sorted((BUNDLE / "configs").glob("*.json"))
# What our configs may call: `_target_` can name anything that is installed.
TARGETS = re.compile(r"(monai_place|monai|torch\.nn|torch\.optim|torch\.utils\.data)\.[\w.]+|[A-Z]\w+")


@pytest.fixture(params=["checked in", "trained"])
def bundle(request: pytest.FixtureRequest) -> Path:
    return BUNDLE if request.param == "checked in" else request.getfixturevalue("trained")


def read(bundle: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((bundle / "configs" / "metadata.json").read_text(encoding="utf-8"))
    return values


def test_the_schema_is_kept(bundle: Path, tmp_path: Path) -> None:
    # MONAI would fetch the schema; it takes the file that is there.
    assert read(bundle)["schema"].endswith(SCHEMA.name)
    shutil.copy(SCHEMA, tmp_path)
    monai.bundle.verify_metadata(
        meta_file=str(bundle / "configs" / "metadata.json"),
        filepath=str(tmp_path / SCHEMA.name),
        hash_val=hashlib.sha256(SCHEMA.read_bytes()).hexdigest(),
        hash_type="sha256",
    )


def test_the_network_takes_and_gives_what_it_says(bundle: Path) -> None:
    configs = bundle / "configs"
    monai.bundle.verify_net_in_out(
        net_id="network_def",
        meta_file=str(configs / "metadata.json"),
        config_file=str(configs / "inference.json"),
        device="cpu",
    )


@pytest.mark.parametrize("name", ["train", "finetune", "linear_probe", "train_report", "evaluate"])
def test_the_folder_of_the_data_alone_says_which_datalist(name: str) -> None:
    parser = ConfigParser()
    parser.read_config(str(BUNDLE / "configs" / f"{name}.json"))
    assert parser.get_parsed_content("datalist") == "./data/datalist.json"
    parser["dataset_dir"] = "/chest"
    parser.parse(reset=True)
    assert parser.get_parsed_content("datalist") == "/chest/datalist.json"


def test_the_checked_in_bundle_describes_place_tiny_for_the_phantom() -> None:
    # After a change of the preset or of the prompts, train on the phantom and copy the run's metadata.json.
    place, prompts = read(BUNDLE)["place"], prompts_for(PHANTOM_CLASSES).findings
    config = place_preset("place_tiny").to_dict()
    assert place["classifier"]["config"] == {key: config[key] for key in place["classifier"]["config"]}
    assert place["classifier"]["classes"] == list(PHANTOM_CLASSES)
    assert place["classifier"]["positive_prompts"] == max(len(entry.positive) for entry in prompts)
    assert place["classifier"]["negative_prompts"] == max(len(entry.negative) for entry in prompts)
    assert place["preprocess"]["image_size"] == config["image_size"]


def test_a_trained_bundle_describes_its_own_network(trained: Path) -> None:
    values = read(trained)
    formats, place = values["network_data_format"], values["place"]
    assert formats["inputs"]["image"]["spatial_shape"] == [64, 64]
    assert formats["outputs"]["pred"]["num_channels"] == 7
    assert list(formats["outputs"]["pred"]["channel_def"].values()) == list(PHANTOM_CLASSES)
    assert place["classifier"]["config"]["image_kwargs"]["embed_dim"] == 48
    same = {key: value for key, value in values.items() if key not in ("network_data_format", "place")}
    assert same == {key: value for key, value in read(BUNDLE).items() if key not in ("network_data_format", "place")}


def test_versions_are_those_of_the_package_and_of_the_tested_set() -> None:
    values = read(BUNDLE)
    assert values["version"] == monai_place.__version__
    assert values["version"] in values["changelog"]
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pinned = dict(line.partition(" ;")[0].split("==") for line in constraints.splitlines() if "==" in line)
    assert (values["monai_version"], values["pytorch_version"]) == (pinned["monai"], pinned["torch"])
    assert values["numpy_version"] == pinned["numpy"]
    required = {**values["required_packages_version"]}
    assert required.pop("monai-place") == monai_place.__version__
    assert required == {name: pinned[name] for name in required}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_no_key_stands_twice(path: Path) -> None:
    # MONAI_FAIL_ON_DUPLICATE_CONFIG is set for all tests.
    assert ConfigParser.load_config_file(path)


def test_a_key_that_stands_twice_would_be_seen(tmp_path: Path) -> None:
    (tmp_path / "twice.json").write_text('{"a": 1, "a": 2}')
    with pytest.raises(ValueError, match="Duplicate key"):
        ConfigParser.load_config_file(tmp_path / "twice.json")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_configs_call_only_what_belongs_to_the_job(path: Path) -> None:
    targets = re.findall(r'"_target_": "([^"]*)"', path.read_text(encoding="utf-8"))
    assert not [target for target in targets if not TARGETS.fullmatch(target)]


def test_nothing_in_the_metadata_is_an_expression(bundle: Path) -> None:
    assert not re.search(r'"[$@%]', (bundle / "configs" / "metadata.json").read_text(encoding="utf-8"))
