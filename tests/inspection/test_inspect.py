import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_embtune.data import Record
from spacy_embtune.encoder import EncoderSettings, TextEncoder
from spacy_embtune.inspection import LabelCount, inspect_records
from spacy_embtune.inspection._duplicates import find_nearest

from ..conftest import make_texts


def make_records(*rows):
    return [Record(text, cats, str(i), {}, i + 1) for i, (text, cats) in enumerate(rows)]


def keys(inspection):
    return [finding.key for finding in inspection.findings]


def test_labels_are_counted_as_present_absent_and_unknown():
    records = make_records(("a", {"A": 1.0}), ("b", {"A": 0.0, "B": 1.0}), ("c", {}))
    found = inspect_records(records)
    assert found.exclusive
    assert found.labels == [LabelCount("A", 1, 1, 1), LabelCount("B", 1, 1, 1)]
    several = inspect_records([*records, *make_records(("d", {"A": 1.0, "B": 1.0}))])
    assert not several.exclusive
    assert several.labels == [LabelCount("A", 2, 1, 1), LabelCount("B", 2, 0, 2)]
    assert "1 document with several labels (first: line 1, A, B)" in several.why_exclusive
    assert several.find("never_absent").examples == ["B"]


@pytest.mark.parametrize(
    ("rows", "key", "is_grave"),
    [
        ([("a", {"A": 1.0}), ("A ", {"B": 1.0})], "contradicting_copies", True),
        ([("a", {"A": 1.0, "B": 1.0}), (" a", {"A": 0.0})], "contradicting_copies", True),
        ([("a", {"A": 1.0}), ("A  ", {"A": 1.0})], "copies", False),
        ([("a", {}), ("b", {})], "no_labels", True),
        ([("a", {"A": 1.0}), ("b", {"A": 1.0})], "one_class", True),
        ([("a", {"A": 0.0}), ("b", {"A": 0.0})], "one_class", True),
        ([("a", {"A": 1.0}), ("b", {"B": 1.0}), ("c", {})], "unlabelled", False),
        ([("a", {"A": 1.0}), ("b", {"A": 1.0, "B": 1.0})], "never_absent", True),
        ([("a", {"A": 1.0, "B": 0.0}), ("b", {"A": 0.0, "B": 0.0})], "never_present", False),
        ([("a", {"A": 1.0}), ("b", {"B": 1.0})], "rare_labels", False),
        ([("a", {"Sport": 1.0}), ("b", {"sport ": 1.0})], "spellings", True),
        ([("a", {"A": 1.0}), ("", {"B": 1.0}), (" \n", {"B": 1.0})], "empty_texts", False),
        ([("", {"A": 1.0}), (" ", {"B": 1.0})], "empty_texts", True),
        ([("a", {"A": 1.0}), ("\u200b\ufeff", {"B": 1.0})], "invisible_texts", False),
        ([(f"t{i}", {f"a long answer {i}": 1.0}) for i in range(60)], "free_text", True),
    ],
)
def test_what_is_odd_is_found(rows, key, is_grave):
    found = inspect_records(make_records(*rows))
    assert found.find(key) is not None, keys(found)
    assert found.find(key).is_grave == is_grave
    assert found.find(key).text in " ".join(found.to_text().split())
    assert [f.is_grave for f in found.findings] == sorted(
        (f.is_grave for f in found.findings), reverse=True
    )


def test_data_in_order_have_no_finding():
    records = make_records(*[(f"text {i}", {"AB"[i % 2]: 1.0}) for i in range(20)])
    found = inspect_records(records, against=make_records(("x", {"A": 1.0}), ("y", {"B": 1.0})))
    assert found.findings == []
    assert "Nothing else was found." in found.to_text()


def test_copies_that_only_add_to_each_other_do_not_contradict():
    rows = [("a", {"A": 1.0}), ("a", {"B": 1.0}), ("b", {"A": 1.0, "B": 1.0}), ("c", {"A": 0.0})]
    assert "contradicting_copies" not in keys(inspect_records(make_records(*rows)))


def test_leakage_and_labels_of_one_file_are_found():
    data = make_records(("a", {"A": 1.0}), ("b", {"B": 1.0}), ("c", {"C": 1.0}))
    test = make_records(("A ", {"B": 1.0}), ("new", {"A": 1.0}), ("b", {}), ("z", {"D": 1.0}))
    found = inspect_records(data, against=test)
    assert found.find("leakage").n == 2
    assert "'a': line 1 (A), line 1 (B)" in found.find("leakage").examples
    assert found.find("contradicting_leakage").n == 1
    assert found.find("labels_only_in_test").examples == ["D"]
    assert found.find("labels_only_in_data").examples == ["C"]
    assert "leakage" not in keys(inspect_records(data))


def test_texts_in_other_languages_are_reported():
    rows = [(f"This is the text of the number {i}.", {"AB"[i % 2]: 1.0}) for i in range(20)]
    rows.append(("Das ist ein Text und er ist nicht auf der Liste.", {"A": 1.0}))
    found = inspect_records(make_records(*rows))
    assert found.languages == {"en": 20, "de": 1}
    assert found.find("languages").examples[0].startswith("line 21 (de)")
    assert "Languages (a guess): en 95%, de 5%\n" in found.to_text()


def test_languages_are_shown_only_if_most_are_known():
    english = ("This is the text of the house.", {"A": 1.0})
    german = ("Das ist ein Text und er ist nicht auf der Liste.", {"B": 1.0})
    short = [(f"goal {i}", {"A": 1.0}) for i in range(3)]
    assert "Languages" not in inspect_records(make_records(*short)).to_text()
    found = inspect_records(make_records(english, german, *short))
    assert "Languages" not in found.to_text()
    assert "languages" not in keys(found)
    assert found.languages == {"?": 3, "en": 1, "de": 1}
    found = inspect_records(make_records(english, english, german, german, *short))
    assert "Languages (a guess; 3 texts too short to tell): en 50%, de 50%\n" in found.to_text()


@pytest.fixture(scope="module")
def encoder(tiny_encoder):
    return TextEncoder.load(EncoderSettings(name=str(tiny_encoder), precision="float32"))


@pytest.mark.slow
def test_near_copies_suspects_and_long_texts_are_found(encoder, tmp_path):
    rows = [(text, {topic: 1.0}) for text, topic in make_texts(300, seed=3)]
    rows = list(dict(rows).items())
    wrong = rows[0][0]
    rows[0] = (wrong, {"FOOD": 1.0} if "SPORT" in rows[0][1] else {"SPORT": 1.0})
    # Punctuation is an unknown word to this encoder, so the vectors are nearly the same.
    rows.append((f"{rows[5][0]} .", rows[6][1]))
    rows.append((" ".join(["ball"] * 40), {"SPORT": 1.0}))
    records = make_records(*rows)
    found = inspect_records(records, encoder=encoder, near=0.99, cache_dir=tmp_path / "cache")
    assert found.encoder == encoder.settings.name
    near = found.find("near_copies")
    assert near.n >= 2
    assert found.find("beyond_window").n == 1
    assert "16 tokens" in found.find("beyond_window").text
    suspects = found.find("suspects")
    assert any("line 1 " in example for example in suspects.examples)
    n_encoded = encoder.n_encoded
    again = inspect_records(records, encoder=encoder, near=0.99, cache_dir=tmp_path / "cache")
    assert again.to_dict() == found.to_dict()
    assert encoder.n_encoded == n_encoded
    without = inspect_records(records, encoder=encoder, near=0.99, suspects=False)
    assert set(keys(found)) - set(keys(without)) == {"suspects"}


def test_near_leakage_does_not_count_exact_copies(encoder):
    data = make_records(("ball goal team", {"A": 1.0}), ("bread soup salt", {"B": 1.0}))
    test = make_records(("ball goal team", {"A": 1.0}), ("bread soup salt .", {"B": 1.0}))
    found = inspect_records(data, against=test, encoder=encoder, near=0.9)
    assert found.find("leakage").n == 1
    assert found.find("near_leakage").n == 1
    assert "line 2 (B), line 2 (B)" in found.find("near_leakage").examples[0]


@given(st.integers(0, 40), st.integers(0, 40), st.booleans())
def test_the_nearest_is_that_of_all_cosines(n, m, has_gallery):
    rng = np.random.default_rng(n * 100 + m)
    vectors, gallery = rng.normal(size=(n, 5)), rng.normal(size=(m, 5))
    if n:
        vectors[0] = 0.0
    found = find_nearest(vectors, gallery if has_gallery else None)
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    if has_gallery:
        cosines = unit @ (gallery / np.linalg.norm(gallery, axis=1, keepdims=True)).T
    else:
        cosines = unit @ unit.T - 3 * np.eye(n)
    for i in range(n):
        if i == 0 or cosines.shape[1] < (1 if has_gallery else 2):
            assert found.cosine[i] == -1.0
        else:
            assert found.cosine[i] == pytest.approx(cosines[i].max(), abs=1e-5)


def test_json_has_everything(encoder):
    records = make_records(("a", {"A": 1.0}), ("A", {"B": 1.0}))
    found = json.loads(json.dumps(inspect_records(records, encoder=encoder).to_dict()))
    assert found["labels"][0] == {"label": "A", "present": 1, "absent": 1, "unknown": 0}
    assert found["findings"][0]["key"] == "contradicting_copies"


@pytest.mark.parametrize(
    ("rows", "settings", "message"),
    [
        ([], {}, "no documents to inspect"),
        ([("a", {})], {"near": 0.0}, "above 0 and up to 1"),
        ([("a", {})], {"near": float("nan")}, "above 0 and up to 1"),
    ],
)
def test_what_cannot_be_inspected_is_an_error(rows, settings, message):
    with pytest.raises(ValueError, match=message):
        inspect_records(make_records(*rows), **settings)
