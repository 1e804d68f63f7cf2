from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import DataLoader, Dataset
from monai.transforms import Compose

from monai_place.data.tokens import ReportTokenizer
from monai_place.transforms.collate import StudyCollate
from monai_place.transforms.text import RandSentencesd, SplitReportd, TokenizeReportd

REPORT = "HISTORY: Cough. FINDINGS: Clear lungs. No effusion. IMPRESSION: Normal."


@pytest.fixture(scope="module")
def tokenizer():
    return ReportTokenizer.train([REPORT] * 3, vocab_size=100, max_tokens=24)


def test_report_becomes_sentences_and_the_record_stays_as_it_was():
    record = {"report": REPORT, "sentences": [{"text": "truth"}], "id": "a"}
    before = dict(record)
    result = SplitReportd()(record)
    assert result == before | {"sentence_texts": ["Clear lungs.", "No effusion.", "Normal."]}
    assert record == before


def test_sections_and_output_key_are_options():
    result = SplitReportd("text", sections=("other",), output_key="history")({"text": REPORT})
    assert result["history"] == ["Cough."]


@pytest.mark.parametrize("record", [{}, {"report": None}, {"report": ""}, {"report": " \n"}, {"report": "FINDINGS:"}])
def test_record_without_report_text_gets_no_sentence(record):
    assert SplitReportd()(record)["sentence_texts"] == []


def test_report_that_is_no_text_is_refused():
    with pytest.raises(TypeError, match="'report' must be text, got float"):
        SplitReportd()({"report": float("nan")})


def test_wrong_settings_are_refused_when_the_transform_is_made():
    with pytest.raises(ValueError, match="sections must be"):
        SplitReportd(sections=("finding",))
    with pytest.raises(ValueError, match="one key is expected"):
        SplitReportd(["report", "text"])
    with pytest.raises(ValueError, match="got an empty name"):
        TokenizeReportd()


def test_sentences_become_tensors(tokenizer):
    sentences = ["Clear lungs.", "Normal."]
    result = TokenizeReportd(tokenizer=tokenizer)({"sentence_texts": sentences, "id": "a"})
    encoded = tokenizer.encode(sentences)
    for key in ("input_ids", "sentence_ids"):
        assert result[key].dtype == torch.int64
        assert result[key].tolist() == getattr(encoded, key).tolist()
    assert (result["sentence_count"], result["truncated"], result["id"]) == (2, 0, "a")


def test_no_sentence_becomes_cls_sep(tokenizer):
    result = TokenizeReportd(tokenizer=tokenizer)({"sentence_texts": []})
    assert result["input_ids"].tolist() == [2, 3]
    assert (result["sentence_count"], result["truncated"]) == (0, 0)


def test_truncation_is_counted(tokenizer):
    result = TokenizeReportd(tokenizer=tokenizer)({"sentence_texts": ["Normal."] * 30})
    assert len(result["input_ids"]) == 24
    assert result["truncated"] == 30 * len(tokenizer.encode(["Normal."]).input_ids[1:-1]) - 22


def test_missing_key_is_named(tokenizer):
    with pytest.raises(KeyError, match="sentence_texts"):
        TokenizeReportd(tokenizer=tokenizer)({"report": "Normal."})


def test_tokenizer_folder_is_loaded_with_its_length_or_the_one_given(tokenizer, tmp_path):
    folder = tokenizer.save(tmp_path / "tokenizer")
    assert TokenizeReportd(tokenizer=str(folder)).tokenizer.max_tokens == 24
    assert TokenizeReportd(tokenizer=folder, max_tokens=8).tokenizer.max_tokens == 8
    with pytest.raises(ValueError, match="max_tokens belongs to the tokenizer"):
        TokenizeReportd(tokenizer=tokenizer, max_tokens=8)


def test_chain_is_made_from_bundle_json_and_runs_in_worker_processes(tokenizer, tmp_path):
    parser = ConfigParser(
        {
            "tokenizer": str(tokenizer.save(tmp_path / "tokenizer")),
            "chain": {
                "_target_": "Compose",
                "transforms": [
                    {"_target_": "monai_place.transforms.text.SplitReportd", "keys": "report"},
                    {"_target_": "monai_place.transforms.text.RandSentencesd", "drop_prob": 0.0},
                    {"_target_": "monai_place.transforms.text.TokenizeReportd", "tokenizer": "@tokenizer"},
                ],
            },
            "collate": {"_target_": "monai_place.transforms.collate.StudyCollate", "pad_multiple": 4},
        }
    )
    chain, collate = parser.get_parsed_content("chain"), parser.get_parsed_content("collate")
    records = [{"id": str(i), "report": "Clear lungs. " * (i + 1)} for i in range(4)]
    loader = DataLoader(Dataset(records, chain), batch_size=2, num_workers=2, collate_fn=collate)
    batches = list(loader)
    assert [batch["id"] for batch in batches] == [["0", "1"], ["2", "3"]]
    assert torch.cat([batch["sentence_count"] for batch in batches]).tolist() == [1, 2, 3, 4]
    assert all(batch["input_ids"].shape[1] % 4 == 0 for batch in batches)


def test_transforms_are_picklable(tokenizer):
    chain = Compose([SplitReportd(), RandSentencesd(shuffle_prob=1.0), TokenizeReportd(tokenizer=tokenizer)])
    copy = pickle.loads(pickle.dumps(chain))
    chain.set_random_state(1)
    copy.set_random_state(1)
    assert copy({"report": REPORT})["input_ids"].tolist() == chain({"report": REPORT})["input_ids"].tolist()
    assert isinstance(pickle.loads(pickle.dumps(StudyCollate(3))), StudyCollate)


def test_random_sentences_with_zero_probabilities_change_nothing():
    sentences = [str(index) for index in range(9)]
    assert RandSentencesd()({"sentence_texts": sentences})["sentence_texts"] == sentences


def test_random_sentences_repeat_with_the_seed_and_leave_the_input_alone():
    sentences = [str(index) for index in range(9)]
    record = {"sentence_texts": sentences}
    draws = []
    for _ in range(2):
        transform = RandSentencesd(drop_prob=0.4, shuffle_prob=0.5).set_random_state(5)
        draws.append([transform(record)["sentence_texts"] for _ in range(10)])
    assert draws[0] == draws[1]
    assert len({tuple(draw) for draw in draws[0]}) > 5
    assert sentences == [str(index) for index in range(9)]


def test_shuffling_keeps_every_sentence_and_dropping_keeps_the_order():
    sentences = [str(index) for index in range(9)]
    shuffled = RandSentencesd(shuffle_prob=1.0).set_random_state(0)({"sentence_texts": sentences})["sentence_texts"]
    assert shuffled != sentences
    assert sorted(shuffled) == sentences
    transform = RandSentencesd(drop_prob=0.5).set_random_state(0)
    kept = transform({"sentence_texts": sentences})["sentence_texts"]
    assert kept == sorted(kept)
    assert 0 < len(kept) < 9
    assert [sentences[index] for index in transform.order] == kept


@pytest.mark.parametrize("count", [1, 2, 7])
def test_one_sentence_always_survives_and_each_is_as_likely(count):
    transform = RandSentencesd(drop_prob=1.0).set_random_state(0)
    sentences = [str(index) for index in range(count)]
    survivors = [transform({"sentence_texts": sentences})["sentence_texts"] for _ in range(300)]
    assert {len(survivor) for survivor in survivors} == {1}
    assert np.unique([survivor[0] for survivor in survivors]).size == count


def test_no_sentence_stays_none():
    assert RandSentencesd(drop_prob=1.0, shuffle_prob=1.0)({"sentence_texts": []})["sentence_texts"] == []


@pytest.mark.parametrize("name", ["drop_prob", "shuffle_prob"])
def test_probability_out_of_range_is_refused(name):
    with pytest.raises(ValueError, match=rf"{name} must lie in \[0, 1\], got 1.5"):
        RandSentencesd(**{name: 1.5})
