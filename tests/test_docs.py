"""What the docs say is true: links lead somewhere, Python runs, configs resolve, commands parse."""

import ast
import doctest
import gzip
import json
import re
import shlex
import sys
import tomllib
from pathlib import Path

import pytest
import spacy
import srsly
import typer
from spacy.util import load_config, load_model_from_config, registry
from thinc.api import Config
from typer.testing import CliRunner

from spacy_embtune.cli import app

from .conftest import make_examples, make_texts

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import make_reference  # noqa: E402

WRITTEN = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(path for path in (ROOT / "docs").rglob("*.md") if path.parent.name != "reference"),
]
NAMES = [str(path.relative_to(ROOT)) for path in WRITTEN]
each_page = pytest.mark.parametrize("path", WRITTEN, ids=NAMES)
BLOCK = re.compile(r"(?:<!-- (\w+): (.*?) -->\n)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(path, *languages):
    """RETURNS (list[tuple]): The blocks of code of a page: its mark, the mark's value, the code,
    and the line that it begins in."""
    text = path.read_text(encoding="utf8")
    return [
        (mark or None, value, code, text[:start].count("\n") + 1)
        for match in BLOCK.finditer(text)
        for mark, value, language, code in [match.groups()]
        for start in [match.start(4)]
        if language in languages
    ]


def commands(path, start):
    """RETURNS (list[str]): The command lines of a page that begin so, in blocks and in prose."""
    text = path.read_text(encoding="utf8")
    lines = [line for *_, code, _ in blocks(path, "") for line in code.splitlines()]
    lines += re.findall(r"`([^`\n]+(?:\n[^`\n]+)?)`", BLOCK.sub("", text))
    return [
        " ".join(line.split())
        for line in lines
        if start in line and not line.rstrip().endswith("COMMAND --help")
    ]


# Links


@pytest.fixture(scope="module")
def reference():
    """The pages that are made from the code, by name."""
    return make_reference.make_pages()


def anchors(text):
    """RETURNS (set[str]): What links to a page can end in."""
    found = set()
    for title in re.findall(r"^#+ (.+)$", BLOCK.sub("", text), re.MULTILINE):
        named = re.search(r"\{ #([\w-]+) \}", title)
        slug = re.sub(r"[^\w\s-]", "", title.lower()).strip()
        found.add(named[1] if named else re.sub(r"[\s-]+", "-", slug))
    return found


@each_page
def test_links_lead_to_pages_and_headings(path, reference):
    text = BLOCK.sub("", path.read_text(encoding="utf8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        place = (path.parent / name).resolve() if name else path
        if place.parent == ROOT / "docs" / "reference":
            assert place.name in reference, target
            page = reference[place.name]
        else:
            assert place.is_file(), target
            page = place.read_text(encoding="utf8") if place.suffix == ".md" else ""
        assert not anchor or anchor in anchors(page), target


def test_files_that_the_docs_name_exist():
    for path in WRITTEN:
        text = path.read_text(encoding="utf8")
        for name in re.findall(r"\b((?:benchmarks|configs|examples|scripts)/\w+\.\w+)", text):
            assert (ROOT / name).is_file(), f"{path.name}: {name}"


def test_the_menu_has_each_page_once(reference):
    config = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf8"))

    def walk(items):
        for item in items:
            for value in item.values():
                if isinstance(value, str):
                    yield value
                else:
                    yield from walk(value)

    listed = list(walk(config["project"]["nav"]))
    pages = [str(path.relative_to(ROOT / "docs")) for path in WRITTEN if "docs" in path.parts]
    assert sorted(listed) == sorted([*pages, *(f"reference/{name}" for name in reference)])


def test_pictures_are_small_and_used():
    written = "".join(path.read_text(encoding="utf8") for path in WRITTEN)
    for picture in (ROOT / "docs" / "images").iterdir():
        assert picture.stat().st_size < 150_000, picture.name
        assert f"images/{picture.name}" in written, picture.name


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf8").splitlines()) < 150


# Python


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A pipeline on all-MiniLM-L6-v2 that is trained, on disk."""
    nlp = spacy.blank("en")
    nlp.add_pipe("embtune")
    examples = make_examples(nlp, 60)
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(10):
        nlp.update(examples, sgd=optimizer)
    folder = tmp_path_factory.mktemp("trained")
    nlp.to_disk(folder / "model-best")
    return folder


@pytest.fixture
def stand_ins(tmp_path, monkeypatch):
    """Makes small files where the pages expect theirs, of the same form, and goes there."""

    def lines(name, rows):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        with gzip.open(path, "wt") if path.suffix == ".gz" else path.open("w") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)

    topics = ("SPORT", "FOOD", "MUSIC")
    rows = [
        {"text": text, "cats": {name: float(name == topic) for name in topics}}
        for text, topic in make_texts(60)
    ]
    announcing = [{"text": r["text"], "cats": {"new-dataset": r["cats"]["FOOD"]}} for r in rows]
    unlabelled = [{"text": row["text"]} for row in rows]
    for part in ("train", "test"):
        for folder in ("imdb/", "trec/", "ag_news/", ""):
            lines(f"{folder}{part}.jsonl", rows)
        lines(f"new-dataset/{part}.jsonl", announcing)
    lines("labelled.jsonl", rows)
    lines("unlabelled.jsonl", unlabelled)
    lines("corpus.jsonl.gz", unlabelled)
    header = "text,label,predicted,probability,margin"
    cells = [f"{row['text']},,FOOD,0.9,{0.9 + i / 1000}" for i, row in enumerate(rows)]
    (tmp_path / "ready.csv").write_text("\n".join([header, *cells]) + "\n", encoding="utf8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def has_python(path):
    return bool(blocks(path, "python", "pycon"))


# Fits in the docs are on so few texts that some of these have to be expected.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:The least populated class:UserWarning")
@pytest.mark.parametrize(
    "path",
    [path for path in WRITTEN if has_python(path)],
    ids=[name for name, path in zip(NAMES, WRITTEN, strict=True) if has_python(path)],
)
def test_python_runs(path, stand_ins, trained, monkeypatch):
    registries = (registry.misc, registry.architectures, registry.losses)
    before = [set(functions.get_all()) for functions in registries]
    session = {"__name__": "session"}
    monkeypatch.setitem(sys.modules, "session", type(sys)("session"))
    for mark, value, code, line in blocks(path, "python", "pycon"):
        assert mark in (None, "setup", "not"), f"line {line}: what is the mark {mark!r}?"
        if mark == "not":
            assert len(value.split()) > 2, f"line {line}: say why it is not run"
            continue
        if mark == "setup" and not (stand_ins / "training").exists():
            (stand_ins / "training").symlink_to(trained)
        if code.lstrip().startswith(">>>"):
            run_doctest(code, session, path, line)
        else:
            # With the lines of the page, so that a traceback points there.
            tree = ast.increment_lineno(ast.parse(code), line - 1)
            exec(compile(tree, str(path), "exec"), session)
            vars(sys.modules["session"]).update(session)
    for functions, names in zip(registries, before, strict=True):
        for name in set(functions.get_all()) - names:
            remove(functions, name)


def remove(functions, name):
    """Take a function that a page registered out again."""
    from catalogue import REGISTRY

    REGISTRY.pop((*functions.namespace, name), None)


def run_doctest(code, session, path, line):
    test = doctest.DocTestParser().get_doctest(code, session, path.name, str(path), line)
    test.globs = session
    printed = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    runner.run(test, out=printed.append, clear_globs=False)
    assert not printed, "".join(printed)


# Configs


@pytest.mark.slow
@each_page
def test_configs_resolve(path):
    for mark, value, code, line in blocks(path, "ini"):
        if mark == "not":
            assert len(value.split()) > 2, f"line {line}: say why it does not resolve"
            continue
        base = value if mark == "base" else "feedforward.cfg"
        config = load_config(ROOT / "configs" / base, interpolate=False)
        fragment = Config().from_str(complete(code), interpolate=False)
        with registered_by(path):
            whole = Config(config).merge(fragment)
            paths = {"paths.train": "train.spacy", "paths.dev": "dev.spacy"}
            whole = Config().from_str(whole.to_str(), overrides=paths)
            nlp = load_model_from_config(whole, auto_fill=True, validate=True)
            registry.resolve({"corpora": nlp.config["corpora"]})
        assert nlp.pipe_names == config["nlp"]["pipeline"], f"line {line}"


def complete(code):
    """RETURNS (str): A part of a config with the sections above its own, without comments."""
    code = re.sub(r"\s{2,}# .*$", "", code, flags=re.MULTILINE)
    there: set[str] = set()

    def with_those_above(heading):
        parts = heading[1].split(".")
        missing = [".".join(parts[:n]) for n in range(1, len(parts) + 1)]
        missing = [name for name in missing if name not in there]
        there.update(missing)
        return "\n\n".join(f"[{name}]" for name in missing)

    return re.sub(r"^\[(.+)\]$", with_those_above, code, flags=re.MULTILINE)


class registered_by:
    """Registers what the first block of Python of a how-to page registers, for its configs."""

    def __init__(self, path):
        self.path = path

    def __enter__(self):
        registries = (registry.misc, registry.architectures, registry.losses)
        self.before = [(functions, set(functions.get_all())) for functions in registries]
        for *_, code, _ in blocks(self.path, "python"):
            if "@spacy.registry" in code:
                exec(compile(code, str(self.path), "exec"), {"__name__": "functions"})

    def __exit__(self, *error):
        for functions, names in self.before:
            for name in set(functions.get_all()) - names:
                remove(functions, name)


# Commands


@each_page
def test_commands_of_the_package_parse(path):
    group = typer.main.get_command(app)
    for line in commands(path, "python -m spacy embtune"):
        words = shlex.split(line[line.index("embtune") + len("embtune") :])
        if not words:
            continue
        assert words[0] in group.commands, line
        if len(words) > 1:
            command = group.commands[words[0]]
            command.make_context(words[0], words[1:])


@each_page
def test_other_commands_name_what_there_is(path):
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf8"), re.MULTILINE)
    for line in commands(path, "make "):
        found = re.match(r"make (\w+)", line)
        assert found is None or found[1] in targets, line
    project = srsly.read_yaml(ROOT / "project.yml")
    workflows = {*project["workflows"], *(command["name"] for command in project["commands"])}
    for line in commands(path, "spacy project run"):
        assert shlex.split(line)[5] in workflows, line
    for line in commands(path, "spacy train"):
        words = shlex.split(line)
        config = next((word for word in words if word.endswith(".cfg")), None)
        if config is not None:
            keys = [word[2:] for word in words if word.startswith("--") and "." in word]
            whole = load_config(ROOT / config)
            for key in keys:
                section, name = key.rsplit(".", 1)
                assert name in whole[section], line


@each_page
def test_commands_of_scripts_and_examples_parse(path, monkeypatch):
    import importlib.util

    for line in commands(path, "python "):
        words = shlex.split(line)
        if len(words) < 3 or not re.fullmatch(r"(examples|scripts)/\w+\.py", words[1]):
            continue
        monkeypatch.syspath_prepend(str((ROOT / words[1]).parent))
        spec = importlib.util.spec_from_file_location("script", ROOT / words[1])
        script = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(script)
        one = typer.Typer()
        one.command()(script.main)
        typer.main.get_command(one).make_context(words[1], words[2:])


# What a reader sees who makes a mistake


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["evaluat", "m", "d"], "No such command"),
        (["plot", "missing", "missing.jsonl", "a.html"], "missing.jsonl: there is no such file"),
        (["plot", "m", "d.jsonl", "a.html", "--methd", "pca"], "No such option"),
        (["embed", "missing", "DATA", "out.npz"], "missing"),
    ],
)
def test_a_mistake_in_a_command_gets_an_answer(words, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("DATA.jsonl").write_text('{"text": "one"}\n', encoding="utf8")
    words = ["DATA.jsonl" if word == "DATA" else word for word in words]
    result = CliRunner().invoke(app, words)
    assert result.exit_code != 0
    assert expected in " ".join(result.output.split())
    assert not (tmp_path / "a.html").exists()


def test_examples_of_labels_are_read_as_the_table_of_forms_says(tmp_path):
    from spacy_embtune import read_records

    page = (ROOT / "docs" / "howto" / "data.md").read_text(encoding="utf8")
    forms = [json.loads(form) for form in re.findall(r"\| `(\{.*?\})` \|", page)]
    assert len(forms) >= 5
    path = tmp_path / "forms.jsonl"
    path.write_text("".join(json.dumps(form) + "\n" for form in forms), encoding="utf8")
    read = {record.line: record.cats for record in read_records(path)}
    assert read[1] == {"A": 1.0, "B": 0.0}
    assert read[2] == {"A": 1.0}
    assert read[3] == {"A": 1.0, "B": 1.0}
    assert read[4] == {}
