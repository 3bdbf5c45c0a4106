"""What the page is made of; what it does in a browser is tested in test_page_*.py."""

import json
import re
import shutil
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_embtune.plots import page
from spacy_embtune.plots.assembly import SCRIPTS

from .browser import find_chromium
from .opened import AXES, make_documents, make_page

TWO = [(0, 0), (1, 1)]


class Elements(HTMLParser):
    """What a reader of HTML that knows nothing of us finds."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.texts = [("", {})], {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        tag, attrs = self.tags[-1]
        key = attrs.get("id", tag)
        self.texts[key] = self.texts.get(key, "") + data


def data_of(text):
    return json.loads(Elements(text).texts["data"])


def as_utf8_keeps_it(text):
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


# All characters, halves of pairs included, and what could break out of a script.
ANY_TEXT = st.one_of(
    st.text(st.characters(codec=None, exclude_categories=())),
    st.lists(
        st.sampled_from(
            ["</script>", "<!--", "<script", "-->", "]]>", "&lt;", "\\", '"', "'", "{{"]
        )
    ).map("".join),
)


@pytest.mark.slow
@given(text=ANY_TEXT, name=ANY_TEXT, label=ANY_TEXT.filter(bool), title=ANY_TEXT)
def test_any_text_is_data_and_nothing_else(text, name, label, title):
    # Two surrogates that stand side by side are one character by the time they are UTF-8.
    text, name, label, title = (
        t.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
        for t in (text, name, label, title)
    )
    plain = make_page(make_documents(["x"], [{}], ids=["y"], labels=["z"]), [0, 0], title="t")
    made = make_page(
        make_documents([text], [{label: 1.0}], ids=[name], labels=[label]), [0, 0], title=title
    )
    assert made.encode("utf-8").decode("utf-8") == made
    assert Elements(made).tags == Elements(plain).tags
    data = data_of(made)
    assert data["texts"] == [as_utf8_keeps_it(text)]
    assert data["ids"] == [as_utf8_keeps_it(name)]
    assert data["names"] == [as_utf8_keeps_it(label)]
    assert data["title"] == as_utf8_keeps_it(title)
    assert not re.search("[<>&\u2028\u2029]", Elements(made).texts["data"])


def test_names_in_braces_in_a_text_are_not_filled_in():
    data = data_of(make_page(make_documents(["{{script}} {{data}}"], [{}]), [0, 0]))
    assert data["texts"] == ["{{script}} {{data}}"]


def test_the_page_refers_to_nothing_outside():
    made = make_page(make_documents(["a", "b"], [{"A": 1.0}, {}]), TWO)
    for tag, attrs in Elements(made).tags:
        for attribute in ("src", "href", "action", "srcset", "data"):
            assert attrs.get(attribute, "data:,") == "data:,", tag
        assert not [name for name in attrs if name.startswith("on")], tag
    assert not re.search(r"@import|url\(|\beval\(|innerHTML|document\.write", made)
    addresses = set(re.findall(r"https?://[^\"\s]+", made))
    assert addresses == {"http://www.w3.org/2000/svg"}  # a name, which nobody fetches


def test_all_files_of_the_page_are_in_it():
    folder = files("spacy_embtune.plots") / "web"
    made = make_page(make_documents(["a"], [{}]), [0, 0])
    assert {path.name for path in folder.iterdir()} == {
        "page.html",
        "actions.html",
        "page.css",
        *SCRIPTS,
    }
    for name in ("page.css", *SCRIPTS):
        assert (folder / name).read_text(encoding="utf-8") in made


def test_documents_without_a_place_in_either_space_are_left_out_and_counted():
    documents = make_documents(list("abcd"), [{"A": 1.0}, {"B": 1.0}, {}, {"C": 1.0}])
    base = [(0, 0), (np.nan, 0), (1, 1), (2, 2)]
    tuned = [(0, 0), (1, 1), (1, np.inf), (2, 2)]
    data = data_of(make_page(documents, base, tuned))
    assert data["ids"] == ["doc-0", "doc-3"]
    assert data["texts"] == ["a", "d"]
    assert data["given"] == [[0], [2]]
    assert data["subtitle"] == "2 documents · 3 labels · 2 without a vector left out"


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e308])
def test_places_keep_their_proportions_at_any_scale(scale):
    xy = np.array([(-1.0, 0.5), (1.0, 0.0), (0.0, 0.25)]) * scale
    data = data_of(make_page(make_documents(list("abc"), [{}] * 3), xy))
    assert data["base"] == [0, 25_000, 100_000, 0, 50_000, 12_500]


def test_documents_at_one_place_stay_there():
    data = data_of(make_page(make_documents(list("ab"), [{}] * 2), [(3, 4), (3, 4)]))
    assert data["base"] == [0, 0, 0, 0]


def test_labels_that_only_the_model_has_come_behind_those_of_the_documents():
    documents = make_documents(
        ["a", "b"],
        [{"A": 1.0}, {"B": 1.0}],
        labels=["A", "B"],
        predicted_labels=["B", "Z"],
        probabilities=[[0.25, 0.75], [0.9, 0.1]],
    )
    data = data_of(make_page(documents, TWO))
    assert data["names"] == ["A", "B", "Z"]
    assert data["predictable"] == [1, 2]
    assert data["predicted"] == [[2], [1]]
    assert data["probabilities"] == [[1, 0.25, 2, 0.75], [1, 0.9, 2, 0.1]]


def test_several_labels_are_carried_from_one_half_up():
    documents = make_documents(
        ["a", "b"],
        [{"A": 0.5, "B": 0.4, "C": 1.0}, {"A": 0.0}],
        exclusive=False,
        predicted_labels=["A", "B", "C"],
        probabilities=[[0.6, 0.2, 0.8], [0.4, 0.3, 0.2]],
    )
    data = data_of(make_page(documents, TWO))
    assert data["names"] == ["A", "C", "B"]
    assert data["given"] == [[1, 0], []]
    assert data["predicted"] == [[1, 0], []]
    # Of the second, only A is known.
    assert [data["patterns"][i] for i in data["known"]] == [[0, 1, 2], [0]]


def test_the_commonest_label_comes_first_and_the_rarest_colours_a_document():
    cats = [{"A": 1.0, "B": 1.0}, {"B": 1.0}, {"C": 1.0, "A": 1.0, "B": 1.0}]
    data = data_of(make_page(make_documents(list("abc"), cats, exclusive=False), [*TWO, (2, 2)]))
    assert data["names"] == ["B", "A", "C"]
    assert [given[0] for given in data["given"]] == [1, 0, 2]


def test_what_stands_where_nothing_is_known_does_not_matter():
    documents = make_documents(["a"], [{"A": 1.0}], exclusive=False)
    documents.targets.values[:, 1:] = np.nan
    data = data_of(make_page(documents, [0, 0]))
    assert data["values"] == [[0, 1.0]]


@pytest.mark.parametrize("shape", [(3, 2), (2, 3), (2,)])
@pytest.mark.parametrize("which", ["base_xy", "tuned_xy"])
def test_places_of_another_shape_are_refused(which, shape):
    documents = make_documents(["a", "b"], [{}, {}])
    places = {"base_xy": np.zeros((2, 2)), "tuned_xy": np.zeros((2, 2)), which: np.zeros(shape)}
    with pytest.raises(ValueError, match=f"{which} has shape .* but there are 2 documents"):
        page(documents, title="t", **places, **AXES)


@pytest.mark.parametrize("n", [0, 2])
def test_a_page_without_any_document_is_refused(n):
    documents = make_documents(["a"] * n, [{}] * n)
    with pytest.raises(ValueError, match=f"nothing to show: none of the {n} documents"):
        make_page(documents, np.full((n, 2), np.nan))


def test_predictions_that_are_not_numbers_are_refused():
    documents = make_documents(["a"], [{}], predicted_labels=["A"], probabilities=[[float("nan")]])
    with pytest.raises(ValueError, match=r"diverged.*lower learning rate"):
        make_page(documents, [0, 0])


def test_known_values_that_are_not_numbers_are_refused():
    documents = make_documents(["a"], [{"A": 1.0}], exclusive=False)
    documents.targets.values[0, 0] = np.inf
    with pytest.raises(ValueError, match="Known values of labels must be finite"):
        make_page(documents, [0, 0])


def test_without_a_browser_the_tests_fail_and_say_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.delenv("EMBTUNE_CHROMIUM", raising=False)
    with pytest.raises(pytest.fail.Exception, match="apt-get install chromium"):
        find_chromium(tmp_path / "none")
    own = tmp_path / "chrome"
    own.touch()
    assert find_chromium(own) == own


def test_a_browser_of_ones_own_goes_first(monkeypatch, tmp_path):
    monkeypatch.setenv("EMBTUNE_CHROMIUM", str(tmp_path / "none"))
    with pytest.raises(pytest.fail.Exception, match="no such program"):
        find_chromium()
    program = tmp_path / "mine"
    program.touch(mode=0o755)
    monkeypatch.setenv("EMBTUNE_CHROMIUM", str(program))
    assert find_chromium() == Path(program)
