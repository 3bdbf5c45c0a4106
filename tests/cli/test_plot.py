import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import spacy
from matplotlib.figure import Figure

from spacy_embtune.data import read_records
from spacy_embtune.plots import page, project, save
from spacy_embtune.plots import plot as draw
from spacy_embtune.reports import documents

from ..conftest import make_texts


def load(trained, *sources):
    nlp = spacy.load(trained.model)
    return [documents(nlp, None, read_records(source), progress=None) for source in sources]


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_a_picture_is_that_of_the_functions(trained, embtune, tmp_path, suffix):
    out, expected = tmp_path / f"out{suffix}", tmp_path / f"expected{suffix}"
    code, output, error = embtune("plot", trained.model, trained.data, out, "--fit", trained.train)
    assert (code, error) == (0, "")
    assert "PCA fitted on 60 other documents." in output
    shown, fit = load(trained, trained.data, trained.train)
    save(draw(shown, project(shown, fit), title="data.jsonl"), expected)
    assert out.read_bytes() == expected.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([out.name, expected.name])


@pytest.mark.slow
def test_a_page_shows_the_same_projection(trained, embtune, tmp_path):
    code, _, error = embtune("plot", trained.model, trained.data, tmp_path / "out.html")
    assert (code, error) == (0, "")
    (shown,) = load(trained, trained.data)
    places = project(shown)
    assert (tmp_path / "out.html").read_text("utf8") == page(
        shown,
        places.base.xy,
        places.tuned.xy,
        title="data.jsonl",
        base_axes=(f"{places.base.axes[0]} · {places.note}", places.base.axes[1]),
        tuned_axes=(f"{places.tuned.axes[0]} · {places.note}", places.tuned.axes[1]),
    )


@pytest.mark.slow
def test_several_files_come_of_one_loading_and_one_projection(
    trained, embtune, tmp_path, monkeypatch
):
    from spacy_embtune import plots
    from spacy_embtune.encoder import EncoderShim

    names = ("out.png", "out.html", "out.svg")
    for name in names:
        arguments = (trained.model, trained.data, tmp_path / f"one-{name}", "--fit", trained.train)
        assert embtune("plot", *arguments)[0] == 0
    projected, encoded = [], []
    project, compute = plots.project, EncoderShim._compute
    monkeypatch.setattr(plots, "project", lambda *a, **k: projected.append(a) or project(*a, **k))

    def counted(shim, texts, **settings):
        encoded.extend(texts)
        return compute(shim, texts, **settings)

    monkeypatch.setattr(EncoderShim, "_compute", counted)
    outs = [tmp_path / name for name in names]
    code, output, error = embtune(
        "plot", trained.model, trained.data, *outs, "--fit", trained.train
    )
    assert (code, error) == (0, "")
    for out in outs:
        assert str(out) in output.replace("\n", "")
        assert out.read_bytes() == (tmp_path / f"one-{out.name}").read_bytes()
    assert len(projected) == 1
    assert len(encoded) == len(set(encoded)) == 105


@pytest.mark.slow
def test_several_files_are_written_together_or_not_at_all(trained, embtune, tmp_path, monkeypatch):
    first, second = tmp_path / "out.html", tmp_path / "out.png"
    first.write_text("mine")
    plot = ("plot", trained.model, trained.data)
    for outs, expected in (
        ((first, second), "exists already"),
        ((second, first), "exists already"),
        ((second, tmp_path / "out.jsonl"), "ends in .png, .svg, .pdf or .html"),
        ((second, tmp_path / "." / "out.png"), "is named twice"),
    ):
        code, _, error = embtune(*plot, *outs)
        assert code == 1
        assert expected in error
    monkeypatch.setattr(Figure, "savefig", lambda *_, **__: Path("/dev/full").write_text("x"))
    code, _, error = embtune(*plot, first, second, "-F")
    assert code == 1
    assert "There is no room" in error
    assert [path.name for path in tmp_path.iterdir()] == ["out.html"]
    assert first.read_text() == "mine"


@pytest.mark.slow
def test_parts_and_title_are_those_asked_for(trained, embtune, tmp_path):
    out = tmp_path / "out.svg"
    options = ("--parts", "neighbors, projection", "--title", "$My$ title")
    assert embtune("plot", trained.model, trained.data, out, *options)[0] == 0
    (shown,) = load(trained, trained.data)
    figure = draw(shown, title="$My$ title", parts=["projection", "neighbors"])
    save(figure, tmp_path / "expected.svg")
    assert out.read_bytes() == (tmp_path / "expected.svg").read_bytes()
    for parts in ("everything", "projection,", "projection,projection", ""):
        code, _, error = embtune(
            "plot", trained.model, trained.data, tmp_path / "no.png", "--parts", parts
        )
        assert code == 1
        assert "name some of projection, similarity, neighbors" in error
        assert not (tmp_path / "no.png").exists()


@pytest.mark.slow
def test_documents_that_were_trained_on_are_told_of(trained, embtune, tmp_path):
    out = tmp_path / "out.svg"
    code, _, error = embtune("plot", trained.model, trained.train, out)
    assert code == 0
    assert "60 of these 60 documents were trained on" in error
    (shown,) = load(trained, trained.train)
    save(draw(shown, title="train.jsonl"), tmp_path / "plain.svg")
    # The picture says so as well.
    assert out.read_bytes() != (tmp_path / "plain.svg").read_bytes()
    page = tmp_path / "out.html"
    assert embtune("plot", trained.model, trained.train, page)[0] == 0
    assert "not held out: 60 of them trained on" in page.read_text(encoding="utf8")
    assert embtune("plot", trained.model, trained.data, page, "-F")[0] == 0
    assert "not held out" not in page.read_text(encoding="utf8")


@pytest.mark.slow
def test_texts_without_labels_from_standard_input(trained, embtune, tmp_path):
    stdin = "".join(f"{text}\n" for text, _ in make_texts(20, seed=2))
    out = tmp_path / "out.png"
    code, _, error = embtune("plot", trained.model, "-", out, "--format", "text", stdin=stdin)
    assert (code, error) == (0, "")
    assert out.stat().st_size > 10_000
    code, _, error = embtune(
        *("plot", trained.model, "-", out, "--format", "text", "--parts", "similarity", "-F"),
        stdin=stdin,
    )
    assert code == 1
    assert "no two of the 20 documents have vectors and known labels" in error


@pytest.mark.slow
@pytest.mark.parametrize(
    "cats",
    [
        lambda topic: {"GAMES": 1.0} if topic == "SPORT" else {"OTHER": 1.0},
        lambda topic: {"SPORT": 1.0},
        lambda topic: {"SPORT": float(topic == "SPORT"), "FOOD": 1.0},
        lambda topic: {"SPORT": 1.0} if topic == "SPORT" else {},
    ],
)
def test_labels_of_any_kind_can_be_drawn(trained, embtune, tmp_path, cats):
    rows = [{"text": text, "cats": cats(topic)} for text, topic in make_texts(12, seed=3)]
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for suffix in (".png", ".html"):
        assert embtune("plot", trained.model, data, tmp_path / f"out{suffix}")[0] == 0


@pytest.mark.slow
def test_of_one_class_no_neighbours_are_drawn(trained, embtune, tmp_path):
    data = tmp_path / "data.jsonl"
    rows = [{"text": text, "label": "FOOD"} for text, _ in make_texts(12, seed=3)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, _, error = embtune(
        "plot", trained.model, data, tmp_path / "no.png", "--parts", "neighbors"
    )
    assert code == 1
    assert "There is nothing to draw" in error
    out = tmp_path / "out.svg"
    assert embtune("plot", trained.model, data, out)[0] == 0
    assert not (tmp_path / "no.png").exists()


@pytest.mark.slow
def test_what_data_is_holds_for_other_files_whose_names_do_not_say(trained, embtune, tmp_path):
    unnamed = tmp_path / "train.dat"
    unnamed.write_bytes(trained.train.read_bytes())
    out = tmp_path / "out.png"
    arguments = ("plot", trained.model, unnamed, out, "--fit", unnamed)
    code, _, error = embtune(*arguments)
    assert code == 1
    assert "the name does not say what the file is" in error
    assert embtune(*arguments, "--format", "jsonl")[0] == 0
    assert embtune(*arguments[:-1], trained.train, "--format", "jsonl", "-F")[0] == 0


@pytest.mark.slow
def test_a_file_that_exists_stays_as_it_is_unless_forced(trained, embtune, tmp_path):
    out = tmp_path / "out.png"
    out.write_text("mine")
    code, _, error = embtune("plot", trained.model, trained.data, out)
    assert code == 1
    assert "exists already" in error
    assert out.read_text() == "mine"
    assert embtune("plot", trained.model, trained.data, out, "--force")[0] == 0
    assert out.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("MODEL", "DATA", "out.gif"), "ends in .png, .svg, .pdf or .html"),
        (("MODEL", "DATA", "nowhere/out.png"), "There is no directory"),
        (("MODEL", "missing.jsonl", "out.png"), "missing.jsonl"),
        (("MODEL", "empty.jsonl", "out.png"), "holds no documents"),
        (("MODEL", "two.txt", "out.png"), "a projection needs at least 3"),
        (("MODEL", "blank.jsonl", "out.png"), "Only 0 of 3 documents to show have a base vector"),
        (("MODEL", "mixed.jsonl", "out.png"), "line 2"),
        (("MODEL", "DATA", "out.png", "--fit", "two.txt"), "to fit the axes on"),
        (("nowhere", "DATA", "out.png"), "The pipeline cannot be used"),
        (("blank", "DATA", "out.png"), "has no embtune component"),
        (("MODEL", "DATA", "out.png", "--name", "other"), "no embtune component of the name"),
    ],
)
def test_what_is_wrong_is_said_in_words_and_nothing_is_written(
    trained, embtune, tmp_path, monkeypatch, arguments, expected
):
    monkeypatch.chdir(tmp_path)
    spacy.blank("en").to_disk("blank")
    for name, content in {
        "empty.jsonl": "",
        "two.txt": "ball goal\nbread soup\n",
        "blank.jsonl": '{"text": ""}\n' * 3,
        "mixed.jsonl": '{"text": "ball"}\ntext,label\n',
    }.items():
        (tmp_path / name).write_text(content)
    before = sorted(tmp_path.rglob("*"))
    places = {"MODEL": trained.model, "DATA": trained.data}
    code, output, error = embtune("plot", *(places.get(word, word) for word in arguments))
    assert (code, output) == (1, "")
    assert expected in error
    assert "Traceback" not in error
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.slow
def test_invalid_records_are_left_out_if_asked(trained, embtune, tmp_path):
    data = tmp_path / "data.jsonl"
    data.write_text(trained.data.read_text() + "{\n")
    options = ("--on-error", "skip")
    code, _, error = embtune("plot", trained.model, data, tmp_path / "out.png", *options)
    assert code == 0
    assert "Left out 1 record" in error


@pytest.mark.slow
def test_one_of_two_components_is_chosen_by_name(trained, embtune, tmp_path, train):
    nlp = train(n_steps=5, name="first", extension="first_vector")
    other = spacy.load(trained.model)
    other.add_pipe("first", source=nlp)
    other.to_disk(tmp_path / "two")
    code, _, error = embtune("plot", tmp_path / "two", trained.data, tmp_path / "out.svg")
    assert code == 1
    assert "several embtune components: 'embtune', 'first'" in error
    for name, out in (("embtune", "a.svg"), ("first", "b.svg")):
        arguments = (tmp_path / "two", trained.data, tmp_path / out, "--name", name)
        assert embtune("plot", *arguments)[0] == 0
    assert (tmp_path / "a.svg").read_bytes() != (tmp_path / "b.svg").read_bytes()


@pytest.mark.parametrize(
    ("module", "arguments", "expected"),
    [
        ("umap", ("out.png", "--method", "umap"), "pip install 'spacy-embtune[umap]'"),
        ("matplotlib.style", ("out.png",), "pip install 'spacy-embtune[plot]'"),
    ],
)
def test_a_missing_package_is_told_of_before_any_work(
    embtune, tmp_path, monkeypatch, module, arguments, expected
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, module, None)
    # Neither model nor data is there: nobody has looked for them yet.
    code, _, error = embtune("plot", "model", "data.jsonl", *arguments)
    assert code == 1
    assert expected in error


@pytest.mark.slow
def test_a_page_needs_no_matplotlib(trained, embtune, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.style", None)
    assert embtune("plot", trained.model, trained.data, tmp_path / "out.html")[0] == 0


@pytest.mark.slow
def test_a_full_disk_leaves_what_was_there(trained, tmp_path):
    out = tmp_path / "out.png"
    out.write_text("mine")
    # No file may grow beyond 4 kB: to a program the same as a disk without room.
    result = subprocess.run(
        [sys.executable, "-m", "spacy", "embtune", "plot", trained.model, trained.data, out, "-F"],
        capture_output=True,
        text=True,
        env={"PATH": "", "MPLCONFIGDIR": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    )
    assert result.returncode == 1
    assert "There is no room" in " ".join(result.stderr.split())
    assert out.read_text() == "mine"
    assert not list(tmp_path.glob(".out*"))


@pytest.mark.slow
def test_ctrl_c_while_it_is_written_leaves_what_was_there(trained, embtune, tmp_path, monkeypatch):
    out = tmp_path / "out.png"
    out.write_text("mine")
    write = Figure.savefig

    def interrupted(figure, path, **settings):
        write(figure, path, **settings)
        raise KeyboardInterrupt

    monkeypatch.setattr(Figure, "savefig", interrupted)
    code, _, error = embtune("plot", trained.model, trained.data, out, "--force")
    assert code == 130
    assert "Interrupted" in error
    assert [path.name for path in tmp_path.iterdir()] == ["out.png"]
    assert out.read_text() == "mine"
