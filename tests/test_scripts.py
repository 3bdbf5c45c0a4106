import gzip
import json
import os
import re
import subprocess
import sys
from collections import Counter
from configparser import ConfigParser
from pathlib import Path

import pytest
import spacy
import srsly
import typer
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import DocBin
from typer.testing import CliRunner

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import convert_jsonl  # noqa: E402
import corpus_io  # noqa: E402
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


def test_no_text_and_no_object_is_in_two_splits_of_the_corpus(corpus):
    splits, _ = corpus
    texts = Counter(fold(entry["text"]) for part in splits.values() for entry in part)
    assert max(texts.values()) == 1
    objects = [{entry["meta"]["object"] for entry in part} for part in splits.values()]
    assert len(set.union(*objects)) == sum(map(len, objects))


def test_texts_of_the_corpus_read_like_prose(corpus):
    splits, _ = corpus
    for entry in (entry for part in splits.values() for entry in part):
        text = entry["text"]
        assert not re.search(r"``|:\w+:`|>>>|\.\. \w+::|\n|  |----|\$|\\[a-z]", text), text
        assert text[-1] in ".!?)", text
        assert len(text.split()) >= docstrings.MIN_WORDS, text


def test_the_corpus_holds_the_same_texts_as_docs_and_as_jsonl(corpus):
    splits, path = corpus
    assert sorted(p.name for p in path.iterdir()) == sorted(
        f"{name}.{kind}" for name in splits for kind in ("jsonl", "spacy")
    )
    for name, entries in splits.items():
        docs = read_spacy(path / f"{name}.spacy")
        assert [{"text": d.text, "cats": d.cats, "meta": d.user_data} for d in docs] == entries


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


# A corpus of one's own


def write_lines(path, lines):
    path.write_text("\n".join(x if isinstance(x, str) else json.dumps(x) for x in lines) + "\n")
    return path


def entries(n, n_labels=2):
    return [{"text": f"text {i}", "cats": {f"L{i % n_labels}": 1}} for i in range(n)]


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
def test_jsonl_becomes_docs_and_missing_labels_stay_missing(tmp_path, suffix):
    lines = [
        {"text": "one", "cats": {"A": 1, "B": 0.25}},
        {"text": "two \U0001f600", "cats": {"B": 0}},
        {"text": "three\nlines", "cats": {}, "more": "is passed over"},
        {"text": "four", "cats": {"A": True}},
    ]
    content = "\ufeff" + "\r\n\n".join(map(json.dumps, lines))
    path = tmp_path / f"data{suffix}"
    path.write_bytes(gzip.compress(content.encode()) if suffix.endswith("gz") else content.encode())
    code, output = run(convert_jsonl, path, tmp_path / "out", "--dev-fraction", "0.25")
    assert code == 0, output
    docs = read_spacy(tmp_path / "out/train.spacy") + read_spacy(tmp_path / "out/dev.spacy")
    assert {d.text: d.cats for d in docs} == {e["text"]: e["cats"] for e in lines}
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["dev.spacy", "train.spacy"]


def test_splits_are_stratified_deterministic_and_of_the_size_asked_for(tmp_path):
    path = write_lines(tmp_path / "data.jsonl", entries(200, 5))
    sizes = []
    for out in ("1", "2"):
        args = [path, tmp_path / out, "--dev-fraction", "0.2", "--test-fraction", "0.1"]
        assert run(convert_jsonl, *args)[0] == 0
        for name, size in (("train", 28), ("dev", 8), ("test", 4)):
            docs = read_spacy(tmp_path / out / f"{name}.spacy")
            assert Counter(label for doc in docs for label in doc.cats) == {
                f"L{i}": size for i in range(5)
            }
            sizes.append(len(docs))
    assert sizes == [140, 40, 20] * 2
    for name in ("train", "dev", "test"):
        first, second = (tmp_path / out / f"{name}.spacy" for out in ("1", "2"))
        assert first.read_bytes() == second.read_bytes()
    assert run(convert_jsonl, path, tmp_path / "3", "--seed", "1")[0] == 0
    third = tmp_path / "3" / "train.spacy"
    assert third.read_bytes() != (tmp_path / "1" / "train.spacy").read_bytes()


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
        return [Text(f"{space}{c.upper() if up else c} x", {"A": float(up)}) for c, space, up in x]

    texts = variants(drawn)
    own_dev = variants(drawn[::3]) if has_own_dev else None
    try:
        splits = convert_jsonl.split_by_text(texts, own_dev, dev_fraction, test_fraction, 0)
    except ValueError as error:
        assert "Nothing is left" in str(error)  # noqa: PT017
        return
    sides = [{fold(text.text) for text in part} for part in splits.values()]
    assert len(set.union(*sides)) == sum(map(len, sides))
    if own_dev is None:
        key = json.dumps
        assert sorted(map(key, (t for p in splits.values() for t in p))) == sorted(map(key, texts))
    else:
        assert splits["dev"] == own_dev


@given(st.integers(0, 300), st.floats(0, 1))
def test_a_fraction_is_shared_out_to_the_nearest_number(n, fraction):
    taken = corpus_io.share_out([str(i) for i in range(n)], fraction)
    assert abs(len(taken) - n * fraction) <= 0.5 + 1e-9


def test_a_dev_file_of_ones_own_is_kept_whole_and_train_loses_what_it_holds(tmp_path):
    path = write_lines(tmp_path / "data.jsonl", entries(10))
    dev = write_lines(tmp_path / "dev.jsonl", [{"text": "TEXT  3", "cats": {"L0": 0}}])
    code, output = run(convert_jsonl, path, tmp_path / "out", "--dev", dev)
    assert code == 0
    assert "Left out 1 texts" in output
    train = {doc.text for doc in read_spacy(tmp_path / "out/train.spacy")}
    assert train == {f"text {i}" for i in range(10)} - {"text 3"}
    assert [d.text for d in read_spacy(tmp_path / "out/dev.spacy")] == ["TEXT  3"]


INVALID = {
    "{": ("not valid JSON", "one object a line"),
    "[1]": ("is a list", "Write an object"),
    '{"cats": {"A": 1}}': ("the text is None", "non-empty string"),
    '{"text": " ", "cats": {"A": 1}}': ("the text is ' '", "non-empty string"),
    '{"text": 3, "cats": {"A": 1}}': ("the text is 3", "non-empty string"),
    '{"text": "\\ud83d", "cats": {"A": 1}}': ("half a character", "as they are"),
    '{"text": "x"}': ('no "cats"', "Add them"),
    '{"text": "x", "cats": ["A"]}': ("['A']", "Give a mapping"),
    '{"text": "x", "cats": {"A": 1.5}}': ("1.5", "outside 0..1"),
    '{"text": "x", "cats": {"A": -1}}': ("-1", "outside 0..1"),
    '{"text": "x", "cats": {"A": NaN}}': ("nan", "not finite"),
    '{"text": "x", "cats": {"A": "yes"}}': ("'yes'", "Give a number"),
    '{"text": "x", "cats": {"A": null}}': ("None", "leave the label out"),
    '{"text": "x", "cats": {"": 1}}': ("''", "non-empty string"),
    '{"text": "x", "cats": {"A": 1, "A": 0}}': ("'A' twice", "Keep one"),
    '{"text": "x", "cats": {"A": 1' + "0" * 5000 + "}}": ("not valid JSON", "one object"),
}


@pytest.mark.parametrize("line", INVALID, ids=range(len(INVALID)))
def test_an_invalid_line_is_an_error_that_names_line_cause_and_cure(tmp_path, line):
    path = write_lines(tmp_path / "data.jsonl", [*entries(8), "", line])
    with pytest.raises(ValueError) as error:
        convert_jsonl.read_jsonl(path)
    assert f"{path}, line 10: " in str(error.value)
    for part in INVALID[line]:
        assert part in str(error.value)
    code, output = run(convert_jsonl, path, tmp_path / "out")
    assert code == 1
    assert "No corpus was written" in output
    assert not (tmp_path / "out").exists()
    code, output = run(convert_jsonl, path, tmp_path / "out", "--skip-invalid")
    assert code == 0
    assert "Skipped 1 invalid lines" in output
    assert (tmp_path / "out/train.spacy").exists()


def test_of_many_invalid_lines_the_first_are_shown_and_all_counted(tmp_path):
    path = write_lines(tmp_path / "data.jsonl", ["{"] * 30)
    code, output = run(convert_jsonl, path, tmp_path / "out")
    assert code == 1
    assert "line 5:" in output
    assert "line 6:" not in output
    assert "and 25 more" in output


@pytest.mark.parametrize(
    ("content", "args", "message"),
    [
        (b"", [], "holds no text"),
        (b"\n\n", [], "holds no text"),
        (b"{\n", ["--skip-invalid"], "holds no valid line"),
        (None, [], "no such file"),
        (b'{"text": "caf\xe9", "cats": {}}', [], "not UTF-8"),
        (b'{"text": "x", "cats": {}}', [], "Nothing is left for dev"),
        (b'{"text": "x", "cats": {}}', ["--dev-fraction", "1"], "from 0 to below 1"),
        (b'{"text": "x", "cats": {}}', ["--dev-fraction", "nan"], "from 0 to below 1"),
        (
            b'{"text": "x", "cats": {}}',
            ["--dev-fraction", "0.5", "--test-fraction", "0.5"],
            "nothing for train",
        ),
        (b'{"text": "x", "cats": {}}\n{"text": "y", "cats": {}}', ["--lang", "qqq"], "'qqq'"),
    ],
)
def test_what_cannot_be_converted_is_a_clear_error_and_writes_nothing(
    tmp_path, content, args, message
):
    path = tmp_path / "data.jsonl"
    if content is not None:
        path.write_bytes(content)
    fractions = [] if "--dev-fraction" in args else ["--dev-fraction", "0.4"]
    code, output = run(convert_jsonl, path, tmp_path / "out", *fractions, *args)
    assert code == 1
    assert message in output
    assert not (tmp_path / "out").exists()


def test_a_cut_gzip_file_is_a_clear_error(tmp_path):
    path = tmp_path / "data.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"text": "x", "cats": {}}' * 100)[:-9])
    code, output = run(convert_jsonl, path, tmp_path / "out")
    assert code == 1
    assert "not a whole gzip file" in output


def test_a_failure_while_writing_leaves_the_earlier_corpus_as_it_was(tmp_path, monkeypatch):
    path = write_lines(tmp_path / "data.jsonl", entries(10))
    assert run(convert_jsonl, path, tmp_path / "out")[0] == 0
    before = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}

    def fail(self, target):
        if "dev" in str(target):
            raise OSError("disk full")
        Path(target).write_bytes(b"half")

    monkeypatch.setattr(DocBin, "to_disk", fail)
    code, output = run(convert_jsonl, path, tmp_path / "out", "--seed", "1")
    assert code == 1
    assert "disk full" in output
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == before


def test_a_test_split_of_an_earlier_run_is_warned_of(tmp_path):
    path = write_lines(tmp_path / "data.jsonl", entries(20))
    assert run(convert_jsonl, path, tmp_path / "out", "--test-fraction", "0.2")[0] == 0
    assert "earlier run" in run(convert_jsonl, path, tmp_path / "out")[1]


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
