from __future__ import annotations

import hashlib
import hmac
import os
import stat
import threading
from pathlib import Path

import pytest

from monai_place.data.deidentify import (
    Pseudonyms,
    compile_patterns,
    date_forms,
    key_file_path,
    load_key,
    name_forms,
    scrub_text,
)

KEY = b"0123456789abcdef0123456789abcdef"


def test_a_pseudonym_is_the_keyed_hash_of_kind_and_value() -> None:
    expected = hmac.new(KEY, b"patient\x004711", hashlib.sha256).hexdigest()[:16]
    assert Pseudonyms(KEY).of("patient", "4711") == f"p{expected}"


def test_the_same_key_gives_the_same_name_and_another_key_another() -> None:
    one, other = Pseudonyms(KEY), Pseudonyms(KEY[::-1])
    assert one.of("patient", "a") == Pseudonyms(KEY).of("patient", "a") != other.of("patient", "a")


def test_what_is_of_another_kind_or_value_has_another_name() -> None:
    names = Pseudonyms(KEY)
    assert (
        len({names.of("patient", "1"), names.of("study", "1"), names.of("patient", "01"), names.of("image", "1")}) == 4
    )


def test_names_that_are_no_text_can_be_hashed() -> None:
    assert Pseudonyms(KEY).of("file", "a\udcff.png")[0] == "f"


def test_a_key_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "settings" / "key"
    key = load_key(path)
    assert len(key) == 64
    assert load_key(path) == key
    assert [entry.name for entry in path.parent.iterdir()] == ["key"]
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_two_processes_that_make_the_key_end_with_the_same(tmp_path: Path) -> None:
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(load_key(tmp_path / "key"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_a_key_inside_the_data_is_refused_before_it_is_made(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "out")
    for path in (tmp_path / "out" / "key", tmp_path / "link" / "deep" / "key"):
        with pytest.raises(ValueError, match="key file 'key': must lie outside the source and the output folder"):
            load_key(path, outside=[tmp_path / "out"])
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="modes of files are POSIX")
def test_a_key_that_others_can_read_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(KEY)
    path.chmod(0o644)
    with pytest.raises(ValueError, match=r"others may read it \(mode 0644\); chmod 600"):
        load_key(path)
    path.chmod(0o600)
    assert load_key(path) == KEY


def test_a_short_key_is_refused_without_showing_it(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("hunter2\n")
    path.chmod(0o600)
    with pytest.raises(ValueError, match="a key has at least 32 bytes, this one 7") as caught:
        load_key(path)
    assert "hunter2" not in str(caught.value)


def test_the_key_is_where_the_option_or_the_variable_or_the_settings_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MONAI_PLACE_KEY_FILE", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("APPDATA", str(tmp_path))
    assert key_file_path() == tmp_path / "monai-place" / "deidentify.key"
    monkeypatch.setenv("MONAI_PLACE_KEY_FILE", str(tmp_path / "mine"))
    assert key_file_path() == tmp_path / "mine"
    assert key_file_path(tmp_path / "given") == tmp_path / "given"


def test_names_come_in_components_groups_and_scripts() -> None:
    assert name_forms("Yamada^Tarou=山田^太郎=やまだ^たろう") == {"Yamada", "Tarou", "山田", "太郎", "やまだ", "たろう"}
    assert name_forms("Doe^J^^Dr.^Jr.") == {"Doe"}
    assert name_forms("Doe, Jane") == {"Doe", "Jane"}
    assert name_forms("") == set()


@pytest.mark.parametrize("date", ["", "1955", "19551332", "unknown", "195502"])
def test_what_is_no_day_has_no_forms(date: str) -> None:
    assert date_forms(date) == set()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("born 19550203.", id="DICOM"),
        pytest.param("born 1955-02-03.", id="ISO"),
        pytest.param("born 03.02.1955.", id="German"),
        pytest.param("born 3/2/55.", id="short"),
        pytest.param("born 02/03/1955.", id="American"),
        pytest.param("born February 3, 1955.", id="in words"),
        pytest.param("born 03  FEB 1955.", id="spaces and capitals"),
        pytest.param("born 3-Feb-55.", id="hyphens"),
        pytest.param("born Feb. 3rd, 1955.", id="ordinal"),
        pytest.param("born 3. Februar 1955.", id="German words"),
        pytest.param("born 3 de febrero de 1955.", id="Spanish words"),
        pytest.param("born 3 февраля 1955.", id="Russian words"),
        pytest.param("born 1955年2月3日.", id="Chinese and Japanese"),
        pytest.param("born_19550203.", id="as in names of files"),
    ],
)
def test_a_day_is_taken_out_in_each_spelling(text: str) -> None:
    assert scrub_text(text, date_forms("19550203"))[0].replace("____", " ___") == "born ___."
    assert date_forms("19550203142300.5+0100") == date_forms("19550203")


def test_strings_are_taken_out_as_whole_words_only() -> None:
    text, count = scrub_text("Mr. Roe: roentgenogram of ROE, roe-deer, Roebuck.", {"Roe"})
    assert text == "Mr. ___: roentgenogram of ___, ___-deer, Roebuck."
    assert count == 3


def test_short_numbers_stay_since_measures_are_numbers() -> None:
    assert scrub_text("7 mm nodule, 12 cm", {"7", "12", "123"}) == ("7 mm nodule, 12 cm", 0)


def test_longer_strings_go_first_and_nothing_of_them_is_left() -> None:
    assert scrub_text("Mary Ann Smith-Jones", {"Mary", "Mary Ann", "Smith", "Smith-Jones"})[0] == "___ ___"


def test_scripts_without_spaces_are_searched_inside_words() -> None:
    assert scrub_text("患者山田の胸部", {"山田"})[0] == "患者___の胸部"


def test_composed_and_decomposed_letters_are_the_same() -> None:
    assert scrub_text("Herr Mu\u0308ller", {"M\u00fcller"})[0] == "Herr ___"


def test_signs_of_regular_expressions_in_ids_are_only_signs() -> None:
    assert scrub_text("id A.1+(2)", {"A.1+(2)"})[0] == "id ___"
    assert scrub_text("id AX1", {"A.1"})[0] == "id AX1"


def test_patterns_of_the_user_are_taken_out_too() -> None:
    patterns = compile_patterns([r"dr\. \w+", r"\d{3}-\d{4}"])
    assert scrub_text("Seen by Dr. Roe, call 555-1234.", (), patterns) == ("Seen by ___, call ___.", 2)


def test_a_bad_pattern_is_named_by_its_place_and_not_quoted() -> None:
    with pytest.raises(ValueError, match=r"scrub\[1\] is no regular expression") as caught:
        compile_patterns(["a", "Doe("])
    assert "Doe" not in str(caught.value)
