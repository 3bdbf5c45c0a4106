"""What a user does from the command line: train, read labels, evaluate, package."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import spacy
import srsly
from numpy.testing import assert_allclose, assert_array_equal
from spacy.cli._util import app
from spacy.tokens import Doc, DocBin
from thinc.api import Config
from typer.testing import CliRunner

from spacy_embtune.cli import app as our_app
from spacy_embtune.encoder import EncoderShim

from .conftest import make_examples, make_texts

ROOT = Path(__file__).parent.parent
CONFIGS = sorted((ROOT / "configs").glob("*.cfg"))
pytestmark = pytest.mark.slow
LAYERS = "components.embtune.model.encoder.trainable_layers"


def run(*args: object, cwd: Path = ROOT) -> str:
    """RETURNS (str): What a Python command printed, both streams; it must not fail."""
    result = subprocess.run(
        [sys.executable, *map(str, args)],
        cwd=cwd,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "OMP_NUM_THREADS": "2", "TERM": "dumb"},
    )
    assert result.returncode == 0, result.stdout
    return result.stdout


def spacy_command(*args: object) -> str:
    """Run a command of spaCy in this process, which does not have to import everything again.

    RETURNS (str): What it printed; it must not fail.
    """
    words = [str(arg) for arg in args]
    # `python -m spacy` finds the commands of packages as it starts.
    whose, words = (our_app, words[1:]) if words[0] == "embtune" else (app, words)
    result = CliRunner().invoke(whose, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="session")
def docstrings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A part of the docstring corpus, which the demo trains on."""
    folder = tmp_path_factory.mktemp("docstrings")
    run("scripts/make_docstring_corpus.py", folder, "--max-texts", 700)
    return folder


@pytest.fixture(scope="session")
def trained(docstrings: Path) -> tuple[Path, str]:
    """The pipeline that `spacy train` makes of them, and what it printed."""
    output = run(
        *("-m", "spacy", "train", "configs/feedforward.cfg", "--output", docstrings / "out"),
        *("--paths.train", docstrings / "train.spacy", "--paths.dev", docstrings / "dev.spacy"),
        *("--training.max_steps", 200, "--training.eval_frequency", 50),
    )
    return docstrings / "out" / "model-best", output


def write_corpus(path: Path, texts: Path | None = None) -> Path:
    nlp = spacy.blank("en")
    docs = []
    for example in make_examples(nlp, 30):
        docs.append(example.reference)
        # What configs/pairs.cfg makes pairs of.
        docs[-1].user_data["object"] = max(docs[-1].cats, key=docs[-1].cats.get)
    DocBin(docs=docs, store_user_data=True).to_disk(path)
    return path


def test_spacy_train_tunes_real_text(trained: tuple[Path, str], docstrings: Path) -> None:
    model, output = trained
    assert re.search(r"P@1 +MAP@R +BASE P@1 +BASE MAP@R +SCORE", output)
    nlp = spacy.load(model)
    examples = []
    for doc in DocBin().from_disk(docstrings / "test.spacy").get_docs(nlp.vocab):
        examples.append(spacy.training.Example(nlp.make_doc(doc.text), doc))
    scores = nlp.evaluate(examples)
    assert scores["embtune_map_r"] > scores["embtune_base_map_r"] + 0.05
    assert nlp.meta["performance"]["embtune_map_r"] > nlp.meta["performance"]["embtune_base_map_r"]


def test_spacy_evaluate_saves_our_scores(trained: tuple[Path, str], docstrings: Path) -> None:
    metrics = docstrings / "metrics.json"
    spacy_command("evaluate", trained[0], docstrings / "test.spacy", "--output", metrics)
    scores = json.loads(metrics.read_text())
    assert scores["embtune_map_r"] > scores["embtune_base_map_r"]


def test_the_two_best_and_last_models_share_one_encoder(trained: tuple[Path, str]) -> None:
    weights = "embtune/encoder/model.safetensors"
    best, last = trained[0], trained[0].parent / "model-last"
    assert (best / weights).read_bytes() == (last / weights).read_bytes()


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that encoders of pipelines read in this test."""
    texts: list[str] = []
    compute = EncoderShim._compute

    def noted(shim: EncoderShim, computed: list[str], **settings: Any) -> Any:
        texts.extend(computed)
        return compute(shim, computed, **settings)

    monkeypatch.setattr(EncoderShim, "_compute", noted)
    return texts


def test_every_distinct_text_is_encoded_once_in_a_whole_training(
    docstrings: Path, tmp_path: Path, encoded: list[str]
) -> None:
    spacy_command(
        *("train", ROOT / "configs/feedforward.cfg", "--output", tmp_path),
        *("--paths.train", docstrings / "train.spacy", "--paths.dev", docstrings / "dev.spacy"),
        *("--training.max_steps", 30, "--training.eval_frequency", 10),
    )
    assert sorted(encoded) == sorted(texts_in(docstrings, "train", "dev"))


def texts_in(folder: Path, *parts: str) -> set[str]:
    """RETURNS (set[str]): The distinct texts of parts of a corpus."""
    vocab = spacy.blank("en").vocab
    return {
        doc.text
        for part in parts
        for doc in DocBin().from_disk(folder / f"{part}.spacy").get_docs(vocab)
    }


@pytest.mark.parametrize("workflow", ["all", "jsonl"])
def test_every_distinct_text_is_encoded_once_in_a_whole_project(
    workflow: str,
    tiny_encoder: Path,
    tmp_path: Path,
    encoded: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("configs").symlink_to(ROOT / "configs")
    Path("metrics").mkdir()
    Path("corpus").mkdir()
    rows = [{"text": text, "label": topic} for text, topic in make_texts(300)]
    srsly.write_jsonl("data.jsonl", rows)
    nlp = spacy.blank("en")
    for part, seed in (("train", 1), ("dev", 2), ("test", 3)):
        docs = [example.reference for example in make_examples(nlp, 100, seed=seed)]
        DocBin(docs=docs).to_disk(f"corpus/{part}.spacy")
    project = srsly.read_yaml(ROOT / "project.yml")
    scripts = {command["name"]: command["script"] for command in project["commands"]}
    for name in project["workflows"][workflow]:
        for line in scripts[name]:
            for variable, value in project["vars"].items():
                line = line.replace(f"${{vars.{variable}}}", str(value))
            if not line.startswith("python -m spacy "):
                assert name == "corpus"
                continue
            words = shlex.split(line)[3:]
            if words[0] == "train":
                words += ["--components.embtune.model.encoder.name", str(tiny_encoder)]
                words += ["--training.max_steps", "60"]
            spacy_command(*words)
    folder = Path("corpus") if workflow == "all" else Path("corpus", project["vars"]["name"])
    assert sorted(encoded) == sorted(texts_in(folder, "train", "dev", "test"))
    for kind in ("json", "md", "png", "html"):
        assert list(Path("metrics").glob(f"*.{kind}")), kind


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_config_trains(config: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus.spacy")
    spacy_command(
        *("train", config, "--output", tmp_path / "out"),
        *("--paths.train", corpus, "--paths.dev", corpus, "--training.max_steps", 3),
        *("--components.embtune.model.encoder.name", tiny_encoder),
        # It has two layers, of which no more can learn.
        *((f"--{LAYERS}", 2) if config.stem == "encoder" else ()),
    )
    assert spacy.load(tmp_path / "out" / "model-last")("bread")._.embtune.any()


def test_spacy_init_labels_writes_labels_that_training_reads(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    corpus = write_corpus(tmp_path / "corpus.spacy")
    settings = (
        *("--paths.train", corpus, "--paths.dev", corpus),
        *("--components.embtune.model.encoder.name", tiny_encoder),
    )
    spacy_command(
        "init", "labels", ROOT / "configs/feedforward.cfg", tmp_path / "labels", *settings
    )
    labels = tmp_path / "labels" / "embtune.json"
    assert json.loads(labels.read_text()) == ["FOOD", "MUSIC", "SPORT"]
    labels.write_text(json.dumps(["FOOD", "MUSIC", "SPORT", "NEWS"]))
    config = tmp_path / "config.cfg"
    reader = f'{{"@readers": "spacy.read_labels.v1", "path": "{labels}"}}'
    text = (ROOT / "configs" / "feedforward.cfg").read_text()
    config.write_text(text.replace("labels = null", f"labels = {reader}"))
    streamed = ("--training.max_epochs", -1, "--training.max_steps", 3)
    spacy_command("train", config, "--output", tmp_path / "out", *settings, *streamed)
    pipe = spacy.load(tmp_path / "out" / "model-last").get_pipe("embtune")
    assert pipe.labels == ("FOOD", "MUSIC", "SPORT", "NEWS")


def test_a_sourced_frozen_annotating_component_serves_another(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    corpus = write_corpus(tmp_path / "corpus.spacy")
    paths = ("--paths.train", corpus, "--paths.dev", corpus, "--training.max_steps", 3)
    spacy_command(
        *("train", ROOT / "configs/feedforward.cfg", "--output", tmp_path / "first"),
        *("--components.embtune.model.encoder.name", tiny_encoder, *paths),
    )
    first = tmp_path / "first" / "model-last"
    text = (ROOT / "configs" / "feedforward.cfg").read_text()
    text = re.sub(r"\[components\.embtune\].*?\[corpora\]", "[corpora]", text, flags=re.DOTALL)
    text = text.replace('pipeline = ["embtune"]', 'pipeline = ["embtune", "textcat"]')
    text = text.replace(
        "[components]",
        f'[components]\n\n[components.embtune]\nsource = "{first}"\n\n'
        '[components.textcat]\nfactory = "textcat"\n',
    )
    text = text.replace("frozen_components = []", 'frozen_components = ["embtune"]')
    text = text.replace("annotating_components = []", 'annotating_components = ["embtune"]')
    text = re.sub(
        r"\[training.score_weights\].*?\[initialize\]", "[initialize]", text, flags=re.DOTALL
    )
    text = re.sub(r"\[initialize.components.embtune\].*", "", text, flags=re.DOTALL)
    (tmp_path / "second.cfg").write_text(text)
    spacy_command("train", tmp_path / "second.cfg", "--output", tmp_path / "second", *paths)
    before, after = spacy.load(first), spacy.load(tmp_path / "second" / "model-last")
    assert_allclose(after("bread")._.embtune, before("bread")._.embtune, atol=1e-6)
    assert after("bread").cats


def test_a_classifier_learns_on_the_vectors_of_a_sourced_component(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    corpus = write_corpus(tmp_path / "corpus.spacy")
    paths = ("--paths.train", corpus, "--paths.dev", corpus, "--training.max_steps", 200)
    spacy_command(
        *("train", ROOT / "configs/feedforward.cfg", "--output", tmp_path / "first"),
        *("--components.embtune.model.encoder.name", tiny_encoder, *paths),
    )
    first = tmp_path / "first" / "model-last"
    config = Config().from_disk(ROOT / "configs" / "textcat.cfg", interpolate=False)
    # As docs/howto/textcat.md says.
    page = (ROOT / "docs" / "howto" / "textcat.md").read_text(encoding="utf8")
    (block,) = re.findall(r"```ini\n(\[nlp\].*?)```", page, flags=re.DOTALL)
    changes = Config().from_str(f"[components]\n\n{block}")
    config["components"]["embtune"] = {"source": str(first)}
    config["training"].update(changes["training"])
    config["training"]["optimizer"]["learn_rate"] = 0.01
    assert config["nlp"]["pipeline"] == changes["nlp"]["pipeline"]
    config.to_disk(tmp_path / "second.cfg")
    spacy_command("train", tmp_path / "second.cfg", "--output", tmp_path / "second", *paths)
    before, after = spacy.load(first), spacy.load(tmp_path / "second" / "model-best")
    assert_allclose(after("bread")._.embtune, before("bread")._.embtune, atol=1e-6)
    assert after.meta["performance"]["cats_micro_f"] > 0.8


# spaCy does not close all the files that it opens.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_a_packaged_pipeline_installs_and_runs(tiny_encoder: Path, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus.spacy")
    spacy_command(
        *("train", ROOT / "configs/feedforward.cfg", "--output", tmp_path / "out"),
        *("--paths.train", corpus, "--paths.dev", corpus, "--training.max_steps", 3),
        *("--components.embtune.model.encoder.name", tiny_encoder),
    )
    model = tmp_path / "out" / "model-last"
    (tmp_path / "packages").mkdir()
    spacy_command(
        *("package", model, tmp_path / "packages", "--build", "sdist"),
        *("--name", "topics", "--version", "1.2.3"),
    )
    (sdist,) = (tmp_path / "packages").glob("**/*.tar.gz")
    site = tmp_path / "site"
    run(
        *("-m", "pip", "install", "--no-deps", "--no-build-isolation", "--quiet"),
        *("--disable-pip-version-check", "--target", site, sdist),
    )
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r}); import en_topics; "
        "doc = en_topics.load()('bread and soup'); print(doc._.embtune.tolist())"
    )
    printed = json.loads(run("-c", code, cwd=tmp_path).splitlines()[-1])
    expected: Doc = spacy.load(model)("bread and soup")
    assert_allclose(printed, expected._.embtune, atol=2e-2)
    # The files that pip made of the archive hold all that loading needs.
    (config,) = site.rglob("config.cfg")
    here = spacy.load(config.parent)("bread and soup")
    assert_array_equal(here._.embtune, expected._.embtune)
    (metadata,) = site.glob("en_topics-1.2.3.dist-info/METADATA")
    assert "Requires-Dist: spacy-embtune" in metadata.read_text()


def test_the_wheel_is_typed_and_brings_its_entry_points(tmp_path: Path) -> None:
    source = tmp_path / "source"
    ignored = shutil.ignore_patterns(".*", "build", "*.egg-info", "corpus", "training", "metrics")
    shutil.copytree(
        ROOT,
        source,
        ignore=lambda folder, names: ignored(folder, names) if Path(folder) == ROOT else set(),
    )
    run(
        *("-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet"),
        *("--disable-pip-version-check", "--wheel-dir", tmp_path, source),
    )
    (wheel,) = tmp_path.glob("spacy_embtune-*.whl")
    with zipfile.ZipFile(wheel) as files:
        names = set(files.namelist())
        (entry_points,) = (name for name in names if name.endswith("entry_points.txt"))
        registered = files.read(entry_points).decode()
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "spacy_embtune").rglob("*.py")}
    page = ROOT / "spacy_embtune" / "plots" / "web"
    data = {path.relative_to(ROOT).as_posix() for path in page.iterdir()}
    assert modules | data | {"spacy_embtune/py.typed"} <= names
    assert not [name for name in names if name.startswith("tests/")]
    for name in ("embtune = ", "spacy-embtune.Contrastive.v1", "spacy-embtune.pairs.v1"):
        assert name in registered


def test_a_config_with_a_wrong_encoder_fails_with_the_cause(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus.spacy")
    result = subprocess.run(
        [
            *(sys.executable, "-m", "spacy", "train", str(ROOT / "configs" / "feedforward.cfg")),
            *("--paths.train", str(corpus), "--paths.dev", str(corpus)),
            *("--components.embtune.model.encoder.name", "./no-such-encoder"),
        ],
        capture_output=True,
        text=True,
    )
    assert result.returncode != 0
    assert "'./no-such-encoder' is not a directory" in result.stdout + result.stderr
