import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text

from spacy_embtune.plots import (
    PARTS,
    describe_seen,
    neighbor_confusion,
    plot,
    project,
    projection_panels,
    save,
    similarity_histogram,
)
from spacy_embtune.plots._drawing import figure_style
from spacy_embtune.plots._text import fit_text, text_width
from spacy_embtune.plots.colors import OTHER_COLOR, PALETTE, UNLABELLED_COLOR

from ..reports.cases import HOSTILE, a_gain, draw_base, make_documents


def draw(n=60, *, labels=None, known=None, seed=0, exclusive=True):
    base, tuned, values = a_gain(np.random.default_rng(seed), n)
    return make_documents(base, tuned, values, known, labels=labels, exclusive=exclusive)


def texts_of(figure):
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def points_of(figure):
    """RETURNS (list): The points of the two panels, in the order in which they are drawn."""
    return figure.findobj(PathCollection)


def legend_of(figure):
    """RETURNS (list[str] | None): What the first legend says."""
    legends = figure.findobj(Legend)
    return [text.get_text() for text in legends[0].get_texts()] if legends else None


def assert_inside(figure):
    """Every text lies within the figure, and none on another."""
    canvas = FigureCanvasAgg(figure)
    with figure_style():
        canvas.draw()
    shown = [t for t in figure.findobj(Text) if t.get_text() and t.get_visible()]
    boxes = [text.get_window_extent() for text in shown]
    for text, box in zip(shown, boxes, strict=True):
        assert box.x0 >= -1, text
        assert box.x1 <= figure.bbox.x1 + 1, text
        assert box.y0 >= -1, text
        assert box.y1 <= figure.bbox.y1 + 1, text
    level = [(t, b) for t, b in zip(shown, boxes, strict=True) if not t.get_rotation() % 90]
    for i, (text, box) in enumerate(level):
        for other, other_box in level[:i]:
            assert not box.padded(-1).overlaps(other_box.padded(-1)), (text, other)


@pytest.mark.slow
def test_a_picture_shows_both_spaces_in_three_parts():
    documents = draw()
    figure = plot(documents, title="My texts")
    assert isinstance(figure, Figure)
    texts = texts_of(figure)
    places = project(documents)
    for expected in (
        "My texts",
        "Documents in two dimensions",
        "PCA fitted on the 60 documents shown; the tuned panel is turned, not stretched, to match "
        "the base panel.",
        f"base: {100 * places.base.share:.0f} % of the variance",
        f"tuned: {100 * places.tuned.share:.0f} % of the variance",
        *places.base.axes,
        *places.tuned.axes,
        "Similarity of pairs",
        "Labels of nearest neighbours",
    ):
        assert expected in texts
    for points, panel in zip(points_of(figure), places[:2], strict=True):
        drawn = np.asarray(points.get_offsets())
        np.testing.assert_allclose(np.sort(drawn, axis=0), np.sort(panel.xy, axis=0))
    assert_inside(figure)


def test_a_document_has_the_same_colour_in_both_panels_and_the_legend():
    base, classes = draw_base(np.random.default_rng(0), 40)
    documents = make_documents(base, base[:, ::-1], np.eye(4)[classes])
    figure = projection_panels(documents)
    order = np.argsort(-np.bincount(classes, minlength=4), kind="stable")
    colors = {int(label): PALETTE[i].lower() for i, label in enumerate(order)}
    for points, panel in zip(points_of(figure), project(documents)[:2], strict=True):
        for xy, color in zip(points.get_offsets(), points.get_facecolors(), strict=True):
            document = np.abs(panel.xy - xy).sum(axis=1).argmin()
            assert to_hex(color[:3]) == colors[int(classes[document])]
    assert legend_of(figure) == [f"{'ABCD'[j]} ({(classes == j).sum()})" for j in order]


def test_unknown_labels_are_grey_and_behind_the_others():
    known = np.ones((60, 4))
    known[20:] = 0
    figure = projection_panels(draw(known=known))
    for points in points_of(figure):
        colors = [to_hex(color[:3]) for color in points.get_facecolors()]
        assert colors[:40] == [UNLABELLED_COLOR.lower()] * 40
        assert UNLABELLED_COLOR.lower() not in colors[40:]
    assert legend_of(figure)[-1] == "unlabelled (40)"


@pytest.mark.slow
def test_of_many_labels_the_commonest_have_colours_and_the_legend_says_so():
    rng = np.random.default_rng(0)
    values = np.zeros((200, 28))
    values[np.arange(200), np.minimum(rng.geometric(0.12, 200), 28) - 1] = 1
    values[:40, 20] = 1
    labels = [f"label {j}" for j in range(28)]
    base = rng.normal(size=(200, 8))
    documents = make_documents(base, base, values, exclusive=False, labels=labels)
    figure = plot(documents)
    used = {to_hex(color[:3]) for color in points_of(figure)[0].get_facecolors()}
    assert used == {color.lower() for color in (*PALETTE, OTHER_COLOR)}
    n_used = int(values.any(axis=0).sum())
    legend = legend_of(figure)
    assert len(legend) == len(PALETTE) + 1
    assert legend[-1].startswith(f"{n_used - len(PALETTE)} other labels (")
    assert "rarest label" in texts_of(figure)
    assert_inside(figure)


def test_without_labels_there_is_one_colour_and_nothing_that_needs_labels():
    figure = plot(make_documents(*a_gain(np.random.default_rng(0), 20)[:2], np.zeros((20, 0))))
    texts = texts_of(figure)
    assert "20 documents" in texts
    assert "Similarity of pairs" not in texts
    assert legend_of(figure) is None
    for points in points_of(figure):
        colors = {to_hex(color[:3]) for color in points.get_facecolors()}
        assert colors == {PALETTE[0].lower()}


@pytest.mark.slow
def test_parts_can_be_chosen_and_are_the_same_alone():
    documents = draw()
    alone = {
        "projection": projection_panels(documents),
        "similarity": similarity_histogram(documents),
        "neighbors": neighbor_confusion(documents),
    }
    for part, figure in alone.items():
        chosen = texts_of(plot(documents, parts=[part]))
        assert chosen == ["60 documents, 4 labels", *texts_of(figure)]
        assert_inside(figure)
    with pytest.raises(ValueError, match="give one or more of projection, similarity"):
        plot(documents, parts=["all"])
    with pytest.raises(ValueError, match="give one or more of"):
        plot(documents, parts=[])


def test_what_cannot_be_drawn_is_an_error():
    unlabelled = make_documents(np.eye(4), np.eye(4), np.zeros((4, 2)), exclusive=False)
    for make in (
        similarity_histogram,
        neighbor_confusion,
        lambda documents: plot(documents, parts=["similarity", "neighbors"]),
    ):
        with pytest.raises(
            ValueError, match="no two of the 4 documents have vectors and known labels"
        ):
            make(unlabelled)
    with pytest.raises(ValueError, match="a projection needs at least 3"):
        plot(draw(2))


@pytest.mark.slow
@pytest.mark.parametrize("exclusive", [True, False])
def test_few_documents_equal_vectors_and_pairs_of_one_kind_can_be_drawn(exclusive, tmp_path):
    alike = np.ones((4, 3))
    same = np.ones((4, 1)) if not exclusive else np.eye(2)[[0] * 4]
    for documents in (
        draw(3, exclusive=exclusive),
        make_documents(alike, alike, np.eye(2)[[0, 1, 0, 1]], exclusive=exclusive),
        make_documents(np.eye(4), alike, same, exclusive=exclusive),
        make_documents(np.vstack([alike, 0 * alike]), np.ones((8, 2)), np.eye(2)[[0, 1] * 4]),
    ):
        figure = plot(documents)
        save(figure, tmp_path / "few.png")
        assert_inside(figure)


NAMES = [
    "$x^2$ and $",
    "_hidden",
    "a\nb\tc\x1b[31m",
    "W" * 80,
    r"\frac{1}{2} \undefined {",
    HOSTILE,
    "日本語のラベル",
    "e\u0301" * 40,
    "\ud800",
    "",
]


@pytest.mark.slow
def test_names_of_labels_are_not_interpreted_and_cannot_break_the_layout(tmp_path):
    for names in (NAMES[:4], NAMES[4:8], NAMES[6:]):
        documents = draw(labels=names)
        figure = plot(documents, title=" ".join(NAMES[:6]), note=describe_seen(1, 60))
        assert_inside(figure)
        for suffix in (".png", ".svg"):
            save(figure, tmp_path / f"odd{suffix}")
    figure = projection_panels(draw(labels=NAMES[:4]))
    legend = [name.rsplit(" (", 1)[0] for name in legend_of(figure)]
    assert {"$x^2$ and $", "_hidden", "a b c [31m"} < set(legend)
    assert not any(text.get_parse_math() for text in figure.findobj(Legend)[0].get_texts())


@pytest.mark.slow
@given(st.text(max_size=60), st.sampled_from([0.3, 1.0, 3.0]), st.sampled_from([7, 9]))
@settings(deadline=None, max_examples=60)
def test_any_text_is_brought_to_a_width(text, width, size):
    with figure_style():
        line = fit_text(text, width, size)
        assert text_width(line, size) <= width or line == "…"
        whole = fit_text(text, 1000, size)
        assert whole == " ".join(whole.split())
        if text_width(whole, size) <= width:
            assert line == whole
        else:
            assert line.count("…") == whole.count("…") + 1 or "…" in whole


@pytest.mark.slow
def test_files_of_the_same_documents_have_the_same_bytes(tmp_path):
    kept = dict(matplotlib.rcParams)
    written = []
    for i in range(2):
        figure = plot(draw())
        for suffix in (".png", ".svg", ".pdf"):
            save(figure, tmp_path / f"{i}{suffix}")
            written.append((tmp_path / f"{i}{suffix}").read_bytes())
        assert dict(matplotlib.rcParams) == {**kept, "font.size": matplotlib.rcParams["font.size"]}
        # Whatever the user's settings are, and whether the figure was shown before.
        matplotlib.rcParams["font.size"] = 30.0
        FigureCanvasAgg(figure).draw()
    matplotlib.rcParams["font.size"] = kept["font.size"]
    assert written[:3] == written[3:]
    assert written[0].startswith(b"\x89PNG")
    assert written[1].startswith(b"<?xml")
    assert written[2].startswith(b"%PDF")


@pytest.mark.slow
def test_nothing_happens_to_pyplot_and_the_backend(tmp_path):
    code = f"""
        import sys
        import matplotlib
        backend = matplotlib.rcParams._get_backend_or_none()
        from tests.plots.test_figures import draw
        from spacy_embtune.plots import plot, save
        save(plot(draw()), {str(tmp_path / "out.png")!r})
        assert "matplotlib.pyplot" not in sys.modules
        assert matplotlib.rcParams._get_backend_or_none() == backend
    """
    lines = "\n".join(line.strip() for line in code.splitlines())
    subprocess.run([sys.executable, "-c", lines], check=True)
    # The same bytes in another process.
    save(plot(draw()), tmp_path / "here.png")
    assert (tmp_path / "out.png").read_bytes() == (tmp_path / "here.png").read_bytes()


@pytest.mark.slow
def test_the_package_does_not_import_matplotlib_or_umap():
    code = (
        "import sys, spacy_embtune.plots, spacy_embtune.plots.projection, "
        "spacy_embtune.cli; assert not {'matplotlib', 'umap'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_an_svg_of_many_points_stays_small(tmp_path):
    rng = np.random.default_rng(0)
    base = rng.normal(size=(6000, 4))
    few, many = (
        make_documents(base[:n], base[:n], np.zeros((n, 0)), exclusive=False) for n in (3000, 6000)
    )
    save(plot(few), tmp_path / "few.svg")
    save(plot(many), tmp_path / "many.svg")
    assert "<image" not in (tmp_path / "few.svg").read_text()
    assert "<image" in (tmp_path / "many.svg").read_text()
    assert (tmp_path / "many.svg").stat().st_size < (tmp_path / "few.svg").stat().st_size


def test_documents_without_a_vector_are_told_of_and_not_drawn():
    documents = draw()
    documents.base[:5], documents.tuned[:5] = 0, 0
    figure = projection_panels(documents)
    assert all(len(points.get_offsets()) == 55 for points in points_of(figure))
    assert any("5 without text are not shown" in text for text in texts_of(figure))


def test_other_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"ends in \.png, \.svg, \.pdf"):
        save(projection_panels(draw()), tmp_path / "out.gif")


def test_without_matplotlib_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.style", None)
    with pytest.raises(ImportError, match=r"pip install 'spacy-embtune\[plot\]'"):
        plot(draw())


def test_documents_that_were_trained_on_are_told_of():
    assert describe_seen(1, 2000).startswith("1 of these 2,000 documents was trained on")
    note = describe_seen(60, 60)
    figure = plot(draw(), note=note, parts=["projection"])
    assert note in texts_of(figure)
    assert_inside(figure)


def test_its_parts_are_those_of_the_command():
    assert PARTS == ("projection", "similarity", "neighbors")
