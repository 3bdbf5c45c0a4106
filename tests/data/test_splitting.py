import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_embtune._texts import text_key
from spacy_embtune.data import Record, link_documents, split_records


def make_records(texts, cats=None, groups=None):
    return [
        Record(
            text,
            {} if cats is None else cats[i],
            str(i),
            {} if groups is None else {"author": groups[i]},
            i + 1,
        )
        for i, text in enumerate(texts)
    ]


def carried(part):
    return Counter(label for record in part for label, value in record.cats.items() if value >= 0.5)


def test_each_part_gets_its_share_of_every_class():
    records = make_records(
        [f"text {i}" for i in range(200)], [{f"L{i % 5}": 1.0} for i in range(200)]
    )
    parts = split_records(records, {"dev": 0.2, "test": 0.1}).parts
    for name, size in (("train", 28), ("dev", 8), ("test", 4)):
        assert carried(parts[name]) == {f"L{i}": size for i in range(5)}


def test_many_rare_classes_do_not_empty_the_small_parts():
    records = make_records(
        [f"text {i}" for i in range(200)], [{f"L{i % 100}": 1.0} for i in range(200)]
    )
    parts = split_records(records, {"dev": 0.2}).parts
    assert len(parts["dev"]) == 40
    assert len(carried(parts["train"])) == 100


def test_documents_without_a_carried_label_are_balanced_too():
    cats = [{"A": 1.0}] * 20 + [{"A": 0.0}] * 40 + [{}] * 20
    parts = split_records(make_records([f"text {i}" for i in range(80)], cats), {"dev": 0.25}).parts
    kinds = Counter(json.dumps(record.cats) for record in parts["dev"])
    assert kinds == {'{"A": 1.0}': 5, '{"A": 0.0}': 10, "{}": 5}


label_sets = st.lists(
    st.sets(st.sampled_from("ABCDEF"), min_size=1, max_size=3), min_size=60, max_size=150
)


@pytest.mark.slow
@given(label_sets, st.sampled_from([0.15, 0.2, 0.3]))
def test_several_labels_of_a_document_are_balanced_together(sets, fraction):
    cats = [dict.fromkeys(sorted(labels), 1.0) for labels in sets]
    records = make_records([f"text {i}" for i in range(len(sets))], cats)
    parts = split_records(records, {"dev": fraction}).parts
    assert abs(len(parts["dev"]) - fraction * len(records)) <= 1
    dev = carried(parts["dev"])
    for label, n in carried(records).items():
        assert abs(dev[label] - fraction * n) <= 2 + 0.1 * n


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(["", " ", "\t"]), st.booleans())
    ),
    st.sampled_from([0.1, 0.3, 0.5]),
    st.sampled_from([0.0, 0.2, 0.4]),
    st.booleans(),
)
def test_equal_texts_are_never_on_two_sides(drawn, dev_fraction, test_fraction, has_own_dev):
    def variants(x):
        return make_records(
            [f"{space}{c.upper() if up else c} x" for c, space, up in x],
            [{"A": float(up)} for *_, up in x],
        )

    records = variants(drawn)
    given_parts = {"dev": variants(drawn[::3])} if has_own_dev else {}
    fractions = {"dev": dev_fraction, "test": test_fraction}
    try:
        split = split_records(records, fractions, given=given_parts)
    except ValueError as error:
        assert "Nothing is left" in str(error)  # noqa: PT017
        return
    sides = [{text_key(record.text) for record in part} for part in split.parts.values()]
    assert len(set.union(*sides)) == sum(map(len, sides))
    if has_own_dev:
        assert split.parts["dev"] == given_parts["dev"]
        own = {text_key(record.text) for record in given_parts["dev"]}
        assert split.n_held == sum(text_key(record.text) in own for record in records)
    else:
        found = [record for part in split.parts.values() for record in part]
        assert sorted(found, key=lambda r: r.line) == records


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 30), st.sampled_from("AB")), min_size=30)
)
def test_groups_and_copies_never_straddle_even_when_they_are_linked(rows):
    records = make_records(
        [f"text {text}" for _, text, _ in rows],
        [{label: 1.0} for *_, label in rows],
        [group if group else None for group, *_ in rows],
    )
    try:
        parts = split_records(records, {"dev": 0.3}, group_field="author").parts
    except ValueError as error:
        assert "Nothing is left" in str(error)  # noqa: PT017
        return
    train, dev = parts["train"], parts["dev"]
    assert not {r.text for r in train} & {r.text for r in dev}
    groups = [{r.meta["author"] for r in part} - {None} for part in (train, dev)]
    assert not groups[0] & groups[1]


def test_documents_without_text_do_not_link_groups():
    assert link_documents(["", "a", "", "b"], ["x", "x", "y", "y"]) == [0, 0, 2, 2]


def test_the_order_of_documents_decides_nothing_and_the_seed_does():
    texts = [f"text {i}" for i in range(50)]
    cats = [{"AB"[i % 2]: 1.0} for i in range(50)]
    records = make_records(texts, cats)
    one = split_records(records, {"dev": 0.2}).parts["dev"]
    other = split_records(records[::-1], {"dev": 0.2}).parts["dev"]
    third = split_records(records, {"dev": 0.2}, seed=1).parts["dev"]
    assert {r.text for r in one} == {r.text for r in other}
    assert {r.text for r in one} != {r.text for r in third}
    assert one == sorted(one, key=lambda r: r.line)


def test_a_group_larger_than_its_part_is_reported():
    groups = ["big"] * 70 + [f"small {i}" for i in range(30)]
    records = make_records([f"text {i}" for i in range(100)], [{"A": 1.0}] * 100, groups)
    split = split_records(records, {"dev": 0.5}, group_field="author")
    assert sorted(map(len, split.parts.values())) == [30, 70]
    assert [note.split(",")[1].split(" ")[1] for note in split.notes[:2]] == ["70%", "30%"]
    assert "70 (group 'big')" in split.notes[-1]
    assert split_records(records, {"dev": 0.3}, group_field="author").notes == []


@pytest.mark.parametrize(
    ("fractions", "n", "message"),
    [
        ({"dev": 1.0}, 10, "from 0 to below 1"),
        ({"dev": -0.1}, 10, "from 0 to below 1"),
        ({"dev": float("nan")}, 10, "from 0 to below 1"),
        ({"dev": 0.5, "test": 0.5}, 10, "leave nothing for train"),
        ({"dev": 0.1}, 1, "1 distinct texts are too few"),
        ({"dev": 0.1}, 0, "Nothing is left for train"),
    ],
)
def test_shares_that_are_not_possible_are_an_error(fractions, n, message):
    with pytest.raises(ValueError, match=message):
        split_records(make_records([f"text {i}" for i in range(n)]), fractions)


def test_one_group_and_a_missing_group_field_are_errors():
    records = make_records([f"text {i}" for i in range(20)], groups=["one"] * 20)
    with pytest.raises(ValueError, match="1 groups of 'author' are too few"):
        split_records(records, {"dev": 0.2}, group_field="author")
    with pytest.raises(ValueError, match=r"no document has the field 'writer'.*only 'author'"):
        split_records(records, {"dev": 0.2}, group_field="writer")
