import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_embtune.plots.colors import (
    NONE_COLOR,
    OTHER_COLOR,
    PALETTE,
    UNLABELLED_COLOR,
    color_groups,
)

from ..reports.cases import make_documents


def color(values, known=None, labels=None, **options):
    values = np.asarray(values, dtype="f")
    n = len(values)
    documents = make_documents(
        np.ones((n, 2)), np.ones((n, 2)), values, known, exclusive=False, labels=labels
    )
    groups = color_groups(documents, **options)
    return [(groups.names[g], groups.colors[g]) for g in groups.group], groups


def test_the_commonest_labels_have_colours_and_the_rest_is_grey():
    values = np.eye(4)[[0] * 2 + [1] * 4 + [2] * 3 + [3]]
    of, groups = color(values, most=2)
    assert of[0] == of[-1] == ("2 other labels", OTHER_COLOR)
    assert of[2:6] == [("B", PALETTE[0])] * 4
    assert of[6:9] == [("C", PALETTE[1])] * 3
    assert groups.n_grey == 1
    assert groups.names == ["2 other labels", "B", "C"]
    assert color(values, most=3)[1].names[0] == "1 other label"


def test_a_document_has_the_colour_of_the_rarest_of_its_labels_that_has_one():
    values = [[1, 1, 1], [1, 1, 0], [1, 0, 0], [0, 0, 1]]
    of, _ = color([*values, *values], most=3)
    # A occurs six times, B and C four times, of which C comes last.
    assert [name for name, _ in of[:4]] == ["C", "B", "A", "C"]
    assert [name for name, _ in color(values, most=1)[0]] == ["A", "A", "A", "2 other labels"]


def test_it_is_known_whether_a_document_has_more_labels_than_its_colour_says():
    assert not color([[1, 0], [0, 1]])[1].has_several
    assert color([[1, 1], [0, 1]])[1].has_several
    assert not color([[1, 1], [0, 1]], [[1, 0], [1, 1]])[1].has_several


def test_what_is_unknown_differs_from_what_is_known_to_be_absent():
    of, groups = color([[0, 0], [0, 0], [1, 0]], [[0, 0], [0, 1], [1, 1]])
    assert of[0] == ("unlabelled", UNLABELLED_COLOR)
    assert of[1] == ("none of them", NONE_COLOR)
    assert of[2] == ("A", PALETTE[0])
    assert groups.n_grey == 2


def test_a_lone_label_shares_the_picture_with_its_absence():
    of, groups = color([[1], [0], [0]], [[1], [1], [0]], labels=["SPAM"])
    assert of == [
        ("SPAM", PALETTE[0]),
        ("not SPAM", PALETTE[1]),
        ("unlabelled", UNLABELLED_COLOR),
    ]
    assert groups.n_grey == 1


def test_without_labels_there_is_one_group():
    of, groups = color(np.zeros((3, 0)))
    assert of == [("unlabelled", UNLABELLED_COLOR)] * 3
    assert (groups.n_grey, len(groups.names)) == (1, 1)


def test_colours_are_told_apart_on_white_and_by_those_who_see_fewer():
    # Machado, Oliveira & Fernandes 2009, severity 1: linear RGB as people with protanopia,
    # deuteranopia and tritanopia see it.
    seen_as = [
        np.eye(3),
        [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
        [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
        [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
    ]
    palette = [*PALETTE, "#FFFFFF"]
    for matrix in seen_as:
        lab = np.array([to_oklab(np.clip(matrix @ to_linear(color), 0, 1)) for color in palette])
        gaps = np.linalg.norm(lab[:, None] - lab[None], axis=2) + np.eye(len(palette))
        # About four times a difference that is just seen.
        assert gaps.min() > 0.075


def to_linear(color):
    srgb = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def to_oklab(rgb):
    # Ottosson 2020, "A perceptual color space for image processing".
    to_lms = [[0.4122, 0.5363, 0.0514], [0.2119, 0.6807, 0.1074], [0.0883, 0.2817, 0.6300]]
    to_lab = [[0.2105, 0.7936, -0.0041], [1.9780, -2.4286, 0.4506], [0.0259, 0.7828, -0.8087]]
    return np.array(to_lab) @ np.cbrt(np.array(to_lms) @ rgb)


@pytest.mark.slow
@given(st.integers(1, 12), st.integers(0, 12), st.integers(0, 4), st.integers(0, 999))
def test_each_document_has_one_group_and_no_group_is_empty(n, n_labels, most, seed):
    rng = np.random.default_rng(seed)
    values = (rng.random((n, n_labels)) < 0.4).astype("f")
    known = (rng.random((n, n_labels)) < 0.6).astype("f")
    labels = [f"L{j}" for j in range(n_labels)]
    of, groups = color(values, known, labels or [""] * 0, most=most)
    assert set(groups.group) == set(range(len(groups.names)))
    assert len(groups.names) - groups.n_grey <= max(most, 1) + 1
    carried = values * known
    for i, (name, _) in enumerate(of):
        if name in labels:
            assert carried[i, labels.index(name)] == 1
        elif name == "unlabelled":
            assert not known[i].any()
        elif name.startswith(("none", "not ")):
            assert known[i].any()
            assert not carried[i].any()
        else:
            assert carried[i].any()
