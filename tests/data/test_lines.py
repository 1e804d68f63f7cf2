from __future__ import annotations

from monai_place.data.lines import join_lines

ARCHIVE_LINE = "There is a large opacity in the right lower lobe adjacent to the pleura at the"


def test_lines_of_archive_width_are_joined_even_before_a_capital():
    assert join_lines(f"{ARCHIVE_LINE} Foo\nBar line.") == [f"{ARCHIVE_LINE} Foo Bar line."]


def test_short_line_before_a_capital_stays_a_line():
    assert join_lines("Heart normal\nLungs clear\nno edema") == ["Heart normal", "Lungs clear no edema"]


def test_short_line_that_ends_in_a_comma_or_a_function_word_is_joined():
    assert join_lines("Seen by the\nDoctor, then\nBar") == ["Seen by the Doctor, then", "Bar"]
    assert join_lines("Edema, effusion,\nMass") == ["Edema, effusion, Mass"]


def test_word_hyphenated_at_the_line_end_is_joined_without_a_space():
    assert join_lines("peri-\nhilar") == ["peri-hilar"]
    assert join_lines("2 -\n3") == ["2 - 3"]


def test_blank_lines_bullets_and_list_numbers_start_a_block():
    text = "Intro:\n- one\n- two\n\n1. first\nwrapped\n2. second\n\nend"
    assert join_lines(text) == ["Intro:", "- one", "- two", "1. first wrapped", "2. second", "end"]


def test_number_out_of_sequence_continues_the_line():
    assert join_lines("at rib\n7. no more") == ["at rib 7. no more"]


def test_negative_number_at_a_line_start_is_no_bullet():
    assert join_lines("a value of\n-5 units") == ["a value of -5 units"]


def test_empty_text_has_no_block():
    assert join_lines("") == []
    assert join_lines(" \n\t\n") == []
