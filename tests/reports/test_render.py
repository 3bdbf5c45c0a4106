import re

import numpy as np
import pytest

from spacy_embtune.metrics import Difference
from spacy_embtune.reports import compare
from spacy_embtune.reports.render import HEADER, cells, sections, to_markdown, to_text
from spacy_embtune.reports.types import TITLES, Row

from . import cases
from .cases import hostile_report, make_documents


@pytest.fixture(scope="module")
def found():
    rng = np.random.default_rng(0)
    data, train = (make_documents(*cases.a_gain(rng, n)) for n in (120, 60))
    return compare(data, train)


def test_a_terminal_shows_all_of_it_in_80_columns(found):
    text = found.to_text()
    assert str(found) == text == to_text(found)
    assert max(map(len, text.splitlines())) <= 80
    assert text.splitlines()[0] == "120 documents; 60 in TRAIN; 4 labels, exclusive"
    for title, rows in sections(found):
        block = text.split(f"\n{title}\n")[1].split("\n\n")[0].splitlines()
        for line, row in zip(block, rows, strict=True):
            assert line.startswith(f"{row.title} ")
            assert all(cell in line for cell in cells(row))
    assert "\x1b" not in text
    assert f"\nHelps: {found.verdict.text[:20]}" in text


def test_every_title_leaves_room_for_the_numbers():
    assert max(map(len, TITLES.values())) <= 27


def test_numbers_are_shown_with_their_signs_and_no_minus_zero():
    row = Row("map_at_r", 0.25, 0.2499, Difference(-0.0001, -0.1234, 0.5), None)
    assert cells(row) == ("0.250", "0.250", "+0.000", "-0.123 to +0.500", "")
    assert cells(Row("p_at_1", None, 0.5)) == ("-", "0.500", "-", "", "")
    assert cells(Row("effective_rank", 250.04, 3.26)) == ("250.0", "3.3", "-246.8", "", "")
    assert cells(Row("neighbour_overlap", None, 0.374)) == ("", "37%", "", "", "")
    assert cells(Row("neighbour_overlap", None, None)) == ("", "-", "", "", "")
    worse = Row("p_at_1", 1.0, 0.5, Difference(-0.5, -0.6, -0.4), "worse")
    assert cells(worse)[-1] == "worse"


def test_colours_are_only_added(found, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    colored = found.to_text(colors=True)
    assert "\x1b[" in colored
    assert re.sub(r"\x1b\[[\d;]*m", "", colored) == found.to_text()


def test_long_names_of_labels_are_broken_over_lines():
    text = hostile_report().to_text()
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("- Fewer than two documents carry") == 1


def test_markdown_has_one_table_with_a_row_for_each_metric(found):
    text = found.to_markdown()
    assert text == to_markdown(found)
    assert text.startswith("**Helps**: better at ")
    assert text.endswith("\n")
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in table} == {len(HEADER) + 1}
    n_rows = sum(1 + len(rows) for _, rows in sections(found))
    assert len(table) == 2 + n_rows
    assert "| MAP@R |" in text


def test_nothing_in_a_label_is_markdown():
    text = hostile_report().to_markdown()
    lines = [line for line in text.splitlines() if "script" in line]
    assert lines
    for line in lines:
        assert line.startswith("- ")
        assert not re.search(r"(?<!\\)[<>|*_`\[\]#]", line)
    assert "Notes:" in text
    assert len([line for line in text.splitlines() if line.startswith("|")]) > 5
