from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from monai_place.data import token_files
from monai_place.data.tokens import ReportTokenizer

TEXTS = ["There is no pleural effusion.", "Small left effusion of 2.5 cm.", "The heart is enlarged."] * 3


@pytest.fixture(scope="module")
def tokenizer():
    return ReportTokenizer.train(TEXTS, vocab_size=120, max_tokens=24)


def test_saved_folder_loads_with_the_same_fingerprint_length_and_ids(tokenizer, tmp_path):
    folder = tokenizer.save(tmp_path / "deep" / "tokenizer")
    loaded = ReportTokenizer.from_pretrained(folder)
    assert (loaded.fingerprint, loaded.max_tokens, loaded.special_ids) == (
        tokenizer.fingerprint,
        24,
        tokenizer.special_ids,
    )
    sentences = ["No effusion [SEP].", "Heart of 2.5 cm."]
    assert loaded.encode(sentences).input_ids.tolist() == tokenizer.encode(sentences).input_ids.tolist()


def test_saved_folder_loads_with_transformers_and_gives_the_same_ids(tokenizer, tmp_path):
    theirs = AutoTokenizer.from_pretrained(tokenizer.save(tmp_path / "tokenizer"))
    assert theirs("Small effusion.")["input_ids"] == tokenizer.encode(["Small effusion."]).input_ids.tolist()
    assert (theirs.model_max_length, theirs.pad_token_id) == (24, tokenizer.pad_id)


def test_length_given_wins_over_the_saved_one(tokenizer, tmp_path):
    folder = tokenizer.save(tmp_path / "tokenizer")
    assert ReportTokenizer.from_pretrained(str(folder), max_tokens=9).max_tokens == 9


def test_saving_again_replaces_the_tokenizer_and_leaves_nothing_else(tokenizer, tmp_path):
    other = ReportTokenizer.train(["Something else entirely."] * 3, vocab_size=64)
    tokenizer.save(tmp_path / "tokenizer")
    other.save(tmp_path / "tokenizer")
    assert ReportTokenizer.from_pretrained(tmp_path / "tokenizer").fingerprint == other.fingerprint
    assert [path.name for path in tmp_path.iterdir()] == ["tokenizer"]


@pytest.mark.parametrize("kind", ["file", "foreign"])
def test_saving_never_replaces_what_is_no_tokenizer(tokenizer, tmp_path, kind):
    target = tmp_path / "tokenizer"
    if kind == "file":
        target.write_text("mine")
    else:
        target.mkdir()
        (target / "thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="'tokenizer' exists and holds other files"):
        tokenizer.save(target)
    assert (target if kind == "file" else target / "thesis.txt").read_text() == "mine"


def test_failed_save_leaves_the_old_folder_and_no_temporary_one(tokenizer, tmp_path, monkeypatch):
    tokenizer.save(tmp_path / "tokenizer")
    before = {path.name: path.read_bytes() for path in (tmp_path / "tokenizer").iterdir()}

    def full_disk(path, text):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(token_files, "write_text_atomic", full_disk)
    with pytest.raises(OSError, match="No space left"):
        tokenizer.save(tmp_path / "tokenizer")
    assert {path.name: path.read_bytes() for path in (tmp_path / "tokenizer").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["tokenizer"]


def test_failed_rename_puts_the_old_folder_back(tokenizer, tmp_path, monkeypatch):
    tokenizer.save(tmp_path / "tokenizer")
    rename = Path.rename

    def failing(path, target):
        if path.name == "tokenizer" and path.parent.name.endswith(".tmp"):
            raise OSError(5, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="Input/output"):
        tokenizer.save(tmp_path / "tokenizer")
    monkeypatch.undo()
    assert ReportTokenizer.from_pretrained(tmp_path / "tokenizer").fingerprint == tokenizer.fingerprint
    assert [path.name for path in tmp_path.iterdir()] == ["tokenizer"]


def test_saved_files_follow_the_umask(tokenizer, tmp_path):
    before = os.umask(0o027)
    try:
        folder = tokenizer.save(tmp_path / "tokenizer")
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == 0o750
    assert (folder / "tokenizer.json").stat().st_mode & 0o777 == 0o640


def test_vocabulary_file_of_bert_is_enough(tmp_path):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "heart", "##s", "no", "."]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    tokenizer = ReportTokenizer.from_pretrained(tmp_path)
    assert tokenizer.encode(["No hearts."]).input_ids.tolist() == [2, 7, 5, 6, 8, 3]
    assert tokenizer.max_tokens == 512


def test_byte_level_tokenizer_encodes_sentence_by_sentence(tmp_path):
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate(["<s>", "<pad>", "</s>", "<unk>", *alphabet])}
    library = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>"))
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    roles = {"cls_token": "<s>", "pad_token": "<pad>", "sep_token": "</s>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=library, **roles).save_pretrained(tmp_path)
    tokenizer = ReportTokenizer.from_pretrained(tmp_path)
    encoded = tokenizer.encode(["ab", "c d"])
    assert encoded.sentence_ids.tolist() == [-1, 0, 0, 1, 1, 1, -1]
    assert (tokenizer.pad_id, encoded.input_ids[0], encoded.input_ids[-1]) == (1, 0, 2)


def test_padding_and_truncation_saved_in_the_file_are_switched_off(tokenizer, tmp_path):
    folder = tokenizer.save(tmp_path / "tokenizer")
    library = Tokenizer.from_file(str(folder / "tokenizer.json"))
    library.enable_padding(length=50)
    library.enable_truncation(2)
    library.save(str(folder / "tokenizer.json"))
    sentences = ["Small left effusion.", "No heart."]
    loaded = ReportTokenizer.from_pretrained(folder)
    assert loaded.encode(sentences).input_ids.tolist() == tokenizer.encode(sentences).input_ids.tolist()


def test_folder_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="tokenizer folder 'nothing' does not exist"):
        ReportTokenizer.from_pretrained(tmp_path / "nothing")


def test_name_that_is_not_cached_is_an_error_offline():
    with pytest.raises(FileNotFoundError, match="no tokenizer found for 'nobody/nothing-at-all'"):
        ReportTokenizer.from_pretrained("nobody/nothing-at-all", local_files_only=True)


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({}, id="empty folder"),
        pytest.param({"tokenizer.json": "{", "tokenizer_config.json": "{}"}, id="broken JSON"),
        pytest.param({"tokenizer.json": "{}", "tokenizer_config.json": "{}"}, id="no model in it"),
        pytest.param({"config.json": '{"model_type": "bert"}'}, id="a model without its vocabulary"),
    ],
)
def test_folder_without_a_readable_tokenizer_is_named(tmp_path, files):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises((ValueError, FileNotFoundError), match=tmp_path.name):
        ReportTokenizer.from_pretrained(tmp_path)


def test_tokenizer_without_a_sep_token_is_refused(tmp_path):
    library = Tokenizer(models.WordPiece({"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "heart": 3}, unk_token="[UNK]"))
    roles = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]"}
    PreTrainedTokenizerFast(tokenizer_object=library, **roles).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="has no sep token; pad, unk, cls and sep are needed"):
        ReportTokenizer.from_pretrained(tmp_path)


def test_code_that_lies_in_the_folder_never_runs(tmp_path):
    marker = tmp_path / "ran"
    (tmp_path / "evil.py").write_text(f"open({str(marker)!r}, 'w').close()\nclass Evil: pass\n")
    config = {"tokenizer_class": "Evil", "auto_map": {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises((ValueError, FileNotFoundError)):
        ReportTokenizer.from_pretrained(tmp_path)
    assert not marker.exists()
