"""Batches in which all classes meet."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.training import Example

from spacy_embtune.training import batchers
from spacy_embtune.training.batchers import make_batch_by_class

NLP = spacy.blank("en")


def make(cats: list[dict[str, float]]) -> list[Example]:
    return [
        Example.from_dict(NLP.make_doc(f"text {i}"), {"cats": one}) for i, one in enumerate(cats)
    ]


def of_classes(**counts: int) -> list[Example]:
    """Examples of exclusive classes, so many of each."""
    labels = [label for label, n in counts.items() for _ in range(n)]
    return make([{label: float(label == own) for label in counts} for own in labels])


def label_of(example: Example) -> str:
    return next((k for k, v in example.reference.cats.items() if v >= 0.5), "none")


def counts_of(batch: list[Example]) -> Counter[str]:
    return Counter(label_of(example) for example in batch)


def run(examples: Any, **config: Any) -> list[list[Example]]:
    batches = list(make_batch_by_class(**config)(examples))
    for batch in batches:
        assert len({id(example) for example in batch}) == len(batch)
    return batches


def test_it_is_registered() -> None:
    made = spacy.registry.batchers.get("spacy-embtune.batch_by_class.v1")
    assert made is make_batch_by_class


@pytest.mark.parametrize("size", [1, 0, -3])
def test_a_batch_has_at_least_two_documents(size: int) -> None:
    with pytest.raises(ValueError, match="at least 2 documents to compare"):
        make_batch_by_class(size)


def test_classes_are_as_often_in_each_batch() -> None:
    batches = run(of_classes(A=100, B=40, C=20), size=12)
    assert len(batches) == 13
    for batch in batches:
        assert counts_of(batch) == {"A": 4, "B": 4, "C": 4}
    # 52 places each: the small classes come around, the large one not all.
    seen = Counter(id(example) for batch in batches for example in batch)
    per_class: dict[str, list[int]] = {"A": [], "B": [], "C": []}
    for batch in batches:
        for example in batch:
            per_class[label_of(example)].append(seen[id(example)])
    assert set(per_class["A"]) == {1}
    assert set(per_class["B"]) == {1, 2}
    assert set(per_class["C"]) == {2, 3}


def test_sizes_that_classes_do_not_divide() -> None:
    for batch in run(of_classes(A=50, B=50, C=50), size=10):
        assert len(batch) == 10
        assert max(counts_of(batch).values()) - min(counts_of(batch).values()) == 1
    total = sum(
        (counts_of(batch) for batch in run(of_classes(A=50, B=50, C=50), size=10)), Counter()
    )
    assert total == {"A": 50, "B": 50, "C": 50}


def test_a_corpus_that_is_no_larger_than_a_batch_is_one() -> None:
    examples = of_classes(A=7, B=1)
    assert run(examples, size=8) == [examples]
    assert run(examples, size=100) == [examples]
    assert run([], size=8) == []


def test_a_class_smaller_than_its_share_leaves_its_places_to_others() -> None:
    for batch in run(of_classes(A=100, B=1, C=2), size=30):
        assert counts_of(batch) == {"A": 27, "B": 1, "C": 2}


def test_one_class_alone() -> None:
    batches = run(of_classes(A=20), size=8)
    assert [len(batch) for batch in batches] == [8, 8]


def test_of_several_labels_the_rarest_counts() -> None:
    common = [{"A": 1.0, "B": 0.0, "C": 0.0}] * 60
    both = [{"A": 1.0, "B": 1.0, "C": 0.0}] * 20
    rare = [{"A": 1.0, "B": 1.0, "C": 1.0}] * 4
    for batch in run(make(common + both + rare), size=12):
        n_labels = Counter(sum(e.reference.cats.values()) for e in batch)
        assert n_labels == {1.0: 4, 2.0: 4, 3.0: 4}


def test_without_a_label_it_is_a_class_of_its_own() -> None:
    nothing: list[dict[str, float]] = [{}] * 50 + [{"A": 0.0}] * 50 + [{"B": 0.2}] * 50
    examples = make(nothing + [{"A": 1.0}] * 10 + [{"B": 0.5}] * 10)
    for batch in run(examples, size=9):
        assert counts_of(batch) == {"none": 3, "A": 3, "B": 3}


def test_an_example_that_is_given_twice_is_one() -> None:
    examples = of_classes(A=6, B=6)
    for batch in run(examples * 3, size=8):
        assert counts_of(batch) == {"A": 4, "B": 4}
    assert run(examples * 3, size=12) == [examples]


def test_the_same_seed_gives_the_same_batches() -> None:
    examples = of_classes(A=50, B=5, C=9)
    makers = [make_batch_by_class(10, seed=seed) for seed in (1, 1, 2)]
    # Also in later epochs.
    first, again, other = ([list(maker(examples)) for _ in range(3)] for maker in makers)
    assert first == again
    assert first != other


def test_a_stream_is_read_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batchers, "BUFFER", 100)
    examples = of_classes(A=150, B=100)
    n_read = 0

    def stream() -> Iterator[Example]:
        nonlocal n_read
        while n_read < 1025:
            yield examples[(n_read * 7) % 250]
            n_read += 1

    batches = make_batch_by_class(20)(stream())
    first = next(batches)
    assert counts_of(first) == {"A": 10, "B": 10}
    assert n_read == 199
    rest = list(batches)
    # None is small, also not at the end.
    assert {len(batch) for batch in rest} == {20}
    assert len(rest) == 45 + 6 - 1


@settings(max_examples=60, deadline=None)
@given(
    labels=st.lists(st.sampled_from(["A", "B", "C", "D", ""]), max_size=60),
    size=st.integers(2, 20),
)
def test_batches_are_full_and_hold_what_was_given(labels: list[str], size: int) -> None:
    examples = make([{label: 1.0} if label else {} for label in labels])
    batches = run(examples, size=size)
    assert {id(e) for batch in batches for e in batch} <= {id(e) for e in examples}
    if 0 < len(examples) <= size:
        assert batches == [examples]
    else:
        assert all(len(batch) == size for batch in batches)
        assert len(batches) == (max(round(len(examples) / size), 1) if examples else 0)
    for batch in batches[: len(batches) if len(examples) > size else 0]:
        found, there = counts_of(batch), Counter(label or "none" for label in labels)
        for label in there:
            # As often as any other, unless all of it is there; of many classes, some in twos.
            least = max(found.values()) - (1 if 2 * len(there) <= size else 2)
            assert found[label] == there[label] or found[label] >= least


@pytest.mark.parametrize("n_classes", [33, 64, 77, 150])
def test_of_more_classes_than_places_some_have_two(n_classes: int) -> None:
    batches = run(of_classes(**{f"c{i}": 8 for i in range(n_classes)}), size=64)
    for batch in batches:
        assert len(batch) == 64
        assert sum(n * (n - 1) // 2 for n in counts_of(batch).values()) >= 30
    seen = Counter(label_of(example) for batch in batches for example in batch)
    assert len(seen) == n_classes
    assert max(seen.values()) - min(seen.values()) <= 2
