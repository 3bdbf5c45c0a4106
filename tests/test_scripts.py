import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from configparser import ConfigParser
from pathlib import Path

import pytest
import spacy
import srsly
import typer
from spacy.tokens import DocBin
from typer.testing import CliRunner

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import docstrings  # noqa: E402
import make_docstring_corpus  # noqa: E402
from corpus_io import Text, fold  # noqa: E402
from docstrings import Paragraph  # noqa: E402


def run(script, *args):
    app = typer.Typer()
    app.command()(script.main)
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    # wasabi breaks long lines where it likes.
    return result.exit_code, " ".join(result.output.split())


def read_spacy(path):
    return list(DocBin().from_disk(path).get_docs(spacy.blank("en").vocab))


# The corpus of docstrings


def test_only_paragraphs_of_prose_are_taken_from_a_docstring():
    doc = """filter(x, n=3, *, axis=(0,
                   1)) -> ndarray

    Filter a signal.

    It goes on
    over two lines.

    .. math:: a = b

    where a is the filter and this goes on from the formula.

    * an item of a list
    * another one

    Parameters
    ----------
    x : array
        The signal.

        More on the signal in an indented paragraph.

    Notes
    -----
    A note::

        code()

    .. versionadded:: 1.0
       This is new.

    Another note.

    ====  ====
    a     table
    ====  ====

    Examples
    --------
    An example that leads to code.

    >>> filter([1])
    """
    assert list(docstrings.paragraphs(doc)) == [
        "Filter a signal.",
        "It goes on\nover two lines.",
        "A note::",
        "Another note.",
    ]


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("Call ``f(x, y)`` or `g` for this one.", "Call f(x, y) or g for this one."),
        ("See ``a`` and :math:`O(n)` for the cost.", "See a and O(n) for the cost."),
        ("Like :func:`~scipy.signal.lfilter` it runs once.", "Like lfilter it runs once."),
        (
            "Like :py:func:`scipy.signal.lfilter` it runs on.",
            "Like scipy.signal.lfilter it runs on.",
        ),
        ("Like `~scipy.signal.lfilter` it filters twice.", "Like lfilter it filters twice."),
        ("Read of it in the :ref:`User Guide <x_y>`.", "Read of it in the User Guide."),
        ("Found by `Otsu <https://x.org/y>`_ in the past.", "Found by Otsu in the past."),
        (
            "As described in [1]_ and [2]_, it is exact.",
            "As described in [1] and [2], it is exact.",
        ),
        ("This is *very* **good** for a*b*c at least.", "This is very good for a*b*c at least."),
        ("The left-\nhand side\nof an equation.", "The left-hand side of an equation."),
        ("Call f() once before you go on.", "Call f() once before you go on."),
        ("The values of \\*args are handed on.", "The values of *args are handed on."),
        # formulas, fragments, what only points elsewhere
        (r"The sum :math:`\sum_i x_i` over all of them.", ""),
        ("The coefficient a^{k} of this series is small.", ""),
        ("These are the ones that can be chosen:", ""),
        ("Refer to `numpy.sum` for full documentation.", ""),
        ("See :ref:`array-api` for the support of other libraries.", ""),
        ("Too short a text.", ""),
        ("A = [1, 2, 3] + (4, 5, 6) is the sum of (7, 8, 9) - 10.", ""),
    ],
)
def test_markup_becomes_readable_text(markup, text):
    assert docstrings.plain_text(markup) == text


def test_templates_of_copies_are_equal():
    first = docstrings.template("As an instance, `norm` has 3 methods of Norm.", "scipy.stats.norm")
    other = docstrings.template("As an instance, ``beta`` has 12 methods of beta.", "x.beta")
    assert first == other
    assert first != docstrings.template("As an instance, `norm` has no methods.", "x.norm")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    path = tmp_path_factory.mktemp("corpus")
    code, output = run(make_docstring_corpus, path)
    assert code == 0, output
    return {
        name: list(srsly.read_jsonl(path / f"{name}.jsonl")) for name in ("train", "dev", "test")
    }, path


@pytest.mark.slow
def test_the_corpus_has_every_label_in_every_split_in_the_same_proportions(corpus):
    splits, _ = corpus
    total = sum(map(len, splits.values()))
    assert total > 4000
    labels = set(make_docstring_corpus.LABELS)
    for name, fraction in make_docstring_corpus.FRACTIONS.items():
        assert len(splits[name]) / total == pytest.approx(fraction, abs=0.02)
        assert all(set(entry["cats"]) == labels for entry in splits[name])
        assert all(sorted(entry["cats"].values())[-2:] == [0.0, 1.0] for entry in splits[name])
        carried = Counter(max(e["cats"], key=e["cats"].get) for e in splits[name])
        assert set(carried) == labels
        assert min(carried.values()) >= 10


@pytest.mark.slow
def test_no_text_and_no_object_is_in_two_splits_of_the_corpus(corpus):
    splits, _ = corpus
    texts = Counter(fold(entry["text"]) for part in splits.values() for entry in part)
    assert max(texts.values()) == 1
    objects = [{entry["meta"]["object"] for entry in part} for part in splits.values()]
    assert len(set.union(*objects)) == sum(map(len, objects))


@pytest.mark.slow
def test_texts_of_the_corpus_read_like_prose(corpus):
    splits, _ = corpus
    for entry in (entry for part in splits.values() for entry in part):
        text = entry["text"]
        assert not re.search(r"``|:\w+:`|>>>|\.\. \w+::|\n|  |----|\$|\\[a-z]", text), text
        assert text[-1] in ".!?)", text
        assert len(text.split()) >= docstrings.MIN_WORDS, text


@pytest.mark.slow
def test_the_corpus_holds_the_same_texts_as_docs_and_as_jsonl(corpus):
    splits, path = corpus
    assert sorted(p.name for p in path.iterdir()) == sorted(
        f"{name}.{kind}" for name in splits for kind in ("jsonl", "spacy")
    )
    for name, entries in splits.items():
        docs = read_spacy(path / f"{name}.spacy")
        assert [{"text": d.text, "cats": d.cats, "meta": d.user_data} for d in docs] == entries


@pytest.mark.slow
def test_the_corpus_is_the_same_to_the_byte_in_every_process(tmp_path):
    command = [sys.executable, "-W", "error", str(ROOT / "scripts" / "make_docstring_corpus.py")]
    processes = [
        subprocess.Popen(
            [*command, str(tmp_path / seed), "--max-texts", "340", "--seed", "1"],
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.DEVNULL,
        )
        for seed in ("1", "2")
    ]
    assert [process.wait() for process in processes] == [0, 0]
    for path in (tmp_path / "1").iterdir():
        assert path.read_bytes() == (tmp_path / "2" / path.name).read_bytes()
    entries = [
        e
        for name in ("train", "dev", "test")
        for e in srsly.read_jsonl(tmp_path / "1" / f"{name}.jsonl")
    ]
    assert Counter(max(e["cats"], key=e["cats"].get) for e in entries) == dict.fromkeys(
        make_docstring_corpus.LABELS, 20
    )


def test_texts_of_several_labels_and_boilerplate_are_left_out_and_the_rest_is_taken_once():
    def paragraph(text, name, template=None):
        return Paragraph(text, name, template or fold(text))

    found = {
        "a": [
            paragraph("In both.", "a.f"),
            paragraph("Twice in one.", "a.f"),
            paragraph("twice  in one.", "a.g", "itsown"),
            *[paragraph(f"Boilerplate of {name}.", f"a.{name}", "boilerplate") for name in "xyz"],
            *[paragraph(f"Copy of {name}.", f"a.{name}", "copy") for name in "xy"],
        ],
        "b": [paragraph("in  both.", "b.f"), paragraph("Only here.", "b.f")],
    }
    texts = make_docstring_corpus.distinct(found)
    assert [text.text for text in texts] == ["Twice in one.", "Copy of x.", "Only here."]
    assert texts[-1].cats == {"a": 0.0, "b": 1.0}


def test_another_seed_makes_another_split():
    texts = [
        Text(
            f"text {i} of {label}",
            {"a": float(label == "a"), "b": float(label == "b")},
            {"object": f"{label}{i // 2}"},
        )
        for label in "ab"
        for i in range(40)
    ]
    splits = [make_docstring_corpus.split_by_object(texts, seed) for seed in (0, 0, 1)]
    assert splits[0] == splits[1]
    assert {t.text for t in splits[0]["dev"]} != {t.text for t in splits[2]["dev"]}
    assert [len(part) for part in splits[0].values()] == [56, 12, 12]


# What ties them together


def test_project_commands_call_what_exists_and_workflows_are_complete(capfd):
    from weasel.cli.run import project_run
    from weasel.util import load_project_config

    config = load_project_config(ROOT, overrides={"vars.jsonl": "my.jsonl", "vars.name": "mine"})
    commands = {command["name"]: command for command in config["commands"]}
    assert set(config["workflows"]) == {"all", "jsonl", "pairs"}
    for steps in config["workflows"].values():
        made = {"my.jsonl"}
        for command in (commands[step] for step in steps):
            assert command["help"]
            for line in command["script"]:
                name = line.split()[1]
                assert name == "-m" or (ROOT / name).is_file()
            for dep in command["deps"]:
                assert dep in made or (ROOT / dep).is_file(), dep
            outputs = [*command.get("outputs", []), *command.get("outputs_no_cache", [])]
            assert outputs
            made.update(outputs)
    project_run(ROOT, "corpus", dry=True, overrides={"vars.seed": 7})
    assert "--seed 7" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("3.14.0", "is Python 3.14.0, which is not supported"),
        ("3.10.9", "is Python 3.10.9, which is not supported"),
        ("broken", "cannot be run"),
        (None, "There is no Python."),
    ],
)
@pytest.mark.parametrize("target", ["demo", "test"])
def test_make_asks_for_a_python_that_fits_before_it_installs(tmp_path, target, version, expected):
    for name in ("Makefile", "setup.cfg", "setup.py", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    python = tmp_path / "python"
    # It answers as an interpreter of that version does to the questions of the Makefile.
    runs = "false" if version == "broken" else "true"
    python.write_text(
        f'#!/bin/sh\ncase "$*" in --version) echo Python {version};; "-c pass") {runs};; '
        "*) false;; esac\n"
    )
    python.chmod(0o755)
    given = "" if version is None else str(python)
    done = subprocess.run(
        ["make", target, f"PYTHON={given}"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert expected in done.stdout
    cure = f"Install Python 3.11, 3.12 or 3.13, and name it: make {target} PYTHON="
    assert cure in done.stdout
    assert not (tmp_path / ".venv").exists()


def test_the_versions_of_all_requirements_are_pinned():
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    required = setup["options"]["install_requires"] + "".join(
        setup["options.extras_require"][extra] for extra in ("offline", "dev")
    )
    names = re.findall(r"^[\w-]+", required, re.MULTILINE)
    lines = (ROOT / "constraints.txt").read_text().splitlines()[1:]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines)
    pinned = {re.sub(r"[-_.]+", "-", line.split("==")[0]).lower() for line in lines}
    assert {name.lower() for name in names} <= pinned


def test_continuous_integration_runs_what_a_developer_runs():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text().splitlines()[-1] == "exec make test"
