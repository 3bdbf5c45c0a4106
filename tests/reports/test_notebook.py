from html.parser import HTMLParser

import numpy as np
import pytest

from spacy_embtune.reports import compare
from spacy_embtune.reports.render import cells, sections

from . import cases
from .cases import HOSTILE, hostile_report, make_documents

VOID = {"line", "circle"}


class Parsed(HTMLParser):
    """The tags of a page, closed in order, and its text."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.open, self.text, self.attributes = [], [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def found():
    rng = np.random.default_rng(0)
    data, train = (make_documents(*cases.a_gain(rng, n)) for n in (120, 60))
    return compare(data, train)


def test_a_notebook_shows_verdict_and_table(found):
    page = Parsed(found._repr_html_())
    assert page.tags[0] == "div"
    assert "Helps" in page.text
    rows = [row for _, rows in sections(found) for row in rows]
    assert page.tags.count("tr") == 1 + len(sections(found)) + len(rows)
    for row in rows:
        assert row.title in page.text
        assert {cell for cell in cells(row) if cell} <= set(page.text)


def test_intervals_are_drawn_within_the_picture_but_not_those_of_train(found):
    page = Parsed(found._repr_html_())
    drawn = [row for row in (*found.primary, *found.secondary) if row.interval]
    assert page.tags.count("svg") == len(drawn)
    xs = [float(value) for name, value in page.attributes if name in ("x1", "x2", "cx")]
    assert len(xs) == 5 * len(drawn)
    assert min(xs) > 0
    assert max(xs) < 150


def test_the_page_needs_nothing_from_elsewhere_and_nothing_in_it_runs(found):
    for report in (found, hostile_report()):
        page = Parsed(report._repr_html_())
        assert set(page.tags) <= {
            *("div", "p", "strong", "table", "thead", "tbody", "tr", "th", "td"),
            *("svg", "line", "circle"),
        }
        names = {name for name, _ in page.attributes}
        assert not {name for name in names if name.startswith("on")}
        assert not names & {"src", "href"}
        assert not any("url(" in (value or "") for _, value in page.attributes)


def test_names_of_labels_are_text():
    html = hostile_report()._repr_html_()
    assert "<script>" not in html
    assert any(repr(HOSTILE) in text for text in Parsed(html).text)


def test_light_and_dark_pages_lend_their_own_colours(found):
    styles = [value for name, value in Parsed(found._repr_html_()).attributes if name == "style"]
    assert "color:inherit" in styles[0]
    grounds = {
        part.split(":")[1]
        for style in styles
        for part in style.split(";")
        if part.startswith("background")
    }
    assert grounds == {"none"}


def test_a_report_without_numbers_is_a_page_all_the_same():
    data = make_documents(np.zeros((2, 3)), np.zeros((2, 3)), np.zeros((2, 0)), exclusive=False)
    page = Parsed(compare(data)._repr_html_())
    assert "Nothing to compare" in page.text
    assert "svg" not in page.tags
