"""spaCy's own commands, its JSON and its other components work with the component, also when it has
another name in the pipeline."""

import json
import logging
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import spacy
import srsly
from numpy.testing import assert_allclose, assert_array_equal
from spacy.cli._util import app
from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example
from spacy.util import registry
from typer.testing import CliRunner

from spacy_embtune.pipeline import find_component
from spacy_embtune.pipeline.extensions import get_vector, register_extension

from .conftest import TOPICS, make_examples, make_texts

CONFIG = """
[paths]
train = null
dev = null

[nlp]
lang = "en"
pipeline = ["tuner"]

[components]

[components.tuner]
factory = "embtune"
extension = "topic"
base_extension = "plain"

[components.tuner.model]
@architectures = "spacy-embtune.EmbTune.v1"

[components.tuner.model.encoder]
@architectures = "spacy-embtune.SentenceTransformer.v1"
name = "ENCODER"

[corpora]

[corpora.train]
@readers = "spacy.Corpus.v1"
path = ${paths.train}

[corpora.dev]
@readers = "spacy.Corpus.v1"
path = ${paths.dev}

[training]
max_steps = 10
eval_frequency = 5

[training.score_weights]
topic_p1 = 1.0
topic_map_r = 0.0
topic_base_p1 = 0.0
topic_base_map_r = 0.0
embtune_p1 = null
embtune_map_r = null
embtune_base_p1 = null
embtune_base_map_r = null
"""

# spaCy does not close all the files that it opens.
files_left_open = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")


def command(*args: object, code: int = 0) -> str:
    """RETURNS (str): What a command of spaCy printed, both streams."""
    # As `python -m spacy` does, so that commands of other packages are there.
    registry.cli.get_all()
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


class Files(NamedTuple):
    """Files that the commands share: a filled config of a component named "tuner", the options that
    name its corpora, and the pipeline that `spacy train` made."""

    config: Path
    paths: tuple[object, ...]
    dev: Path
    model: Path


@pytest.fixture(scope="module")
def files(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("tools")
    nlp = spacy.blank("en")
    # `spacy debug data` wants a hundred documents.
    for name, n, seed in (("train", 120, 0), ("dev", 30, 1)):
        docs = [example.reference for example in make_examples(nlp, n, seed=seed)]
        DocBin(docs=docs).to_disk(folder / f"{name}.spacy")
    partial, config = folder / "partial.cfg", folder / "config.cfg"
    partial.write_text(CONFIG.replace("ENCODER", str(tiny_encoder)))
    command("init", "fill-config", partial, config)
    paths = ("--paths.train", folder / "train.spacy", "--paths.dev", folder / "dev.spacy")
    printed = command("train", config, "--output", folder / "out", *paths)
    assert "LOSS TUNER" in printed
    return Files(config, paths, folder / "dev.spacy", folder / "out" / "model-best")


# commands


@pytest.mark.slow
def test_init_config_makes_a_config_that_trains(
    files: Files, tiny_encoder: Path, tmp_path: Path
) -> None:
    for pipeline in ("embtune", "embtune,textcat"):
        path = tmp_path / f"{pipeline}.cfg"
        command("init", "config", path, "--pipeline", pipeline)
        command(
            *("train", path, "--output", tmp_path / pipeline, *files.paths),
            *("--components.embtune.model.encoder.name", tiny_encoder, "--training.max_steps", 2),
        )
        nlp = spacy.load(tmp_path / pipeline / "model-last")
        assert nlp("bread")._.embtune.any()


def test_fill_config_changes_nothing_that_is_full(files: Files, tmp_path: Path) -> None:
    command("init", "fill-config", files.config, tmp_path / "again.cfg")
    assert (tmp_path / "again.cfg").read_text() == files.config.read_text()
    config = spacy.util.load_config(files.config)
    assert config["components"]["tuner"]["model"]["head"]["hidden_width"] == 200
    # spaCy fills in the weights of the default extension, unless they are null.
    weights = config["training"]["score_weights"]
    assert weights["topic_p1"] == 1.0
    assert weights["embtune_p1"] is None


def test_debug_config_finds_it_valid_and_names_what_is_not(files: Files) -> None:
    assert "Config is valid" in command("debug", "config", files.config, *files.paths)
    wrong = ("--components.tuner.set_cats", "perhaps")
    assert "set_cats" in command("debug", "config", files.config, *files.paths, *wrong, code=1)


@pytest.mark.slow
def test_debug_data_reads_the_corpus(files: Files) -> None:
    for options in ((), ("--verbose", "--no-format")):
        printed = command("debug", "data", files.config, *options, *files.paths)
        assert "Pipeline can be initialized with data" in printed
        assert "tuner" in printed


@pytest.mark.slow
def test_debug_model_prints_every_stage(files: Files) -> None:
    stages = ("-P0", "-P1", "-P2", "-P3", "-DIM", "-PAR", "-GRAD", "-ATTR")
    printed = command("debug", "model", files.config, "tuner", *stages, *files.paths)
    assert "STEP 2 - after training" in printed
    assert "model looks good" in printed
    assert "model looks good" in command("debug", "model", files.config, "tuner", *files.paths)


def test_init_labels_names_the_file_after_the_component(files: Files, tmp_path: Path) -> None:
    command("init", "labels", files.config, tmp_path / "labels", *files.paths)
    assert json.loads((tmp_path / "labels" / "tuner.json").read_text()) == sorted(TOPICS)


@pytest.mark.slow
def test_init_nlp_makes_a_pipeline_without_tuned_vectors(files: Files, tmp_path: Path) -> None:
    command("init", "nlp", files.config, tmp_path / "nlp", *files.paths)
    doc = spacy.load(tmp_path / "nlp")("bread")
    assert doc._.plain.any()
    assert getattr(doc._, "topic", None) is None


@pytest.mark.slow
def test_scores_are_named_after_the_extension(files: Files, tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    command("evaluate", files.model, files.dev, "--output", path)
    whole = json.loads(path.read_text())
    command("evaluate", files.model, files.dev, "--output", path, "--per-component")
    scores = json.loads(path.read_text())["tuner"]
    assert {"topic_p1", "topic_map_r", "topic_base_p1", "topic_base_map_r"} <= scores.keys()
    assert {name: whole[name] for name in scores} == scores
    assert scores["topic_p1"] > 0.5
    command("benchmark", "accuracy", files.model, files.dev, "--output", path)
    assert json.loads(path.read_text())["topic_p1"] == scores["topic_p1"]


@pytest.mark.slow
def test_benchmark_speed(files: Files) -> None:
    printed = command(
        *("benchmark", "speed", files.model, files.dev),
        *("--batches", 30, "--batch-size", 2, "--warmup", 1),
    )
    assert "words/s" in printed


@pytest.mark.slow
def test_apply_keeps_vectors(files: Files, tmp_path: Path) -> None:
    command("apply", files.model, files.dev, tmp_path / "applied.spacy")
    nlp = spacy.load(files.model)
    docs = list(DocBin().from_disk(tmp_path / "applied.spacy").get_docs(nlp.vocab))
    assert len(docs) == 30
    for doc, same in zip(docs, nlp.pipe([doc.text for doc in docs]), strict=True):
        assert doc._.topic.dtype == np.float32
        assert_allclose(doc._.topic, same._.topic, atol=1e-5)


@pytest.mark.slow
@files_left_open
def test_debug_profile(files: Files, tmp_path: Path) -> None:
    texts = tmp_path / "texts.jsonl"
    texts.write_text("".join(json.dumps({"text": text}) + "\n" for text, _ in make_texts(3)))
    assert "function calls" in command("debug", "profile", files.model, texts)


@pytest.mark.slow
def test_assemble_copies_a_sourced_component_under_a_third_name(
    files: Files, tmp_path: Path
) -> None:
    config = tmp_path / "assemble.cfg"
    config.write_text(
        '[nlp]\nlang = "en"\npipeline = ["third"]\n\n[components]\n\n[components.third]\n'
        f'source = "{files.model}"\ncomponent = "tuner"\n'
    )
    command("assemble", config, tmp_path / "assembled")
    one, other = spacy.load(files.model), spacy.load(tmp_path / "assembled")
    assert other.pipe_names == ["third"]
    assert_array_equal(one("bread and soup")._.topic, other("bread and soup")._.topic)


def test_info(files: Files) -> None:
    assert "tuner" in command("info", files.model)
    assert "tuner" in command("info", files.model, "--markdown")


@pytest.mark.parametrize(
    ("name", "registry"),
    [
        ("spacy-embtune.cosine_pairs.v1", "losses"),
        ("spacy-embtune.cosent.v1", "losses"),
        ("spacy-embtune.FeedForward.v1", "architectures"),
        ("spacy-embtune.pairs.v1", "readers"),
        ("spacy-embtune.embtune_scorer.v1", "scorers"),
        ("embtune", "factories"),
    ],
)
def test_find_function_says_where_a_registered_function_is(name: str, registry: str) -> None:
    options: tuple[tuple[str, ...], ...] = (("-r", registry),)
    if name != "embtune":
        # Our command has the same name as the factory, and spaCy finds it first.
        options = ((), *options)
    for given in options:
        assert "spacy_embtune/" in "".join(command("find-function", name, *given).split())


@pytest.mark.slow
def test_our_own_commands_find_the_component(files: Files, tmp_path: Path) -> None:
    texts = tmp_path / "data.jsonl"
    rows = [{"text": text, "label": topic} for text, topic in make_texts(30, seed=1)]
    texts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    command("embtune", "evaluate", files.model, texts, "--json", tmp_path / "scores.json")
    command("embtune", "neighbors", files.model, texts, "bread and soup")
    command("embtune", "embed", files.model, texts, tmp_path / "vectors.npz")
    command("embtune", "bulk", files.model, texts, tmp_path / "bulk.csv")
    command("embtune", "plot", files.model, texts, tmp_path / "page.html")
    command("embtune", "export-encoder", files.model, tmp_path / "encoder")
    assert find_component(spacy.load(files.model)).name == "tuner"


# JSON


def test_vectors_go_through_json_as_lists_and_come_back_as_arrays(files: Files) -> None:
    nlp = spacy.load(files.model)
    doc = nlp("bread and soup")
    data = doc.to_json(underscore=["topic", "plain"])
    back = Doc(nlp.vocab).from_json(srsly.json_loads(srsly.json_dumps(data)), validate=True)
    for name in ("topic", "plain"):
        vector = back._.get(name)
        assert isinstance(vector, np.ndarray)
        assert vector.dtype == np.float32
        assert_array_equal(vector, doc._.get(name))
    for again in (
        Doc(nlp.vocab).from_bytes(back.to_bytes()),
        next(DocBin(docs=[back], store_user_data=True).get_docs(nlp.vocab)),
    ):
        assert_array_equal(again._.topic, doc._.topic)
        assert again._.topic.dtype == np.float32


def test_lists_that_came_before_the_pipeline_become_arrays_too(files: Files) -> None:
    """An attribute that a user registered holds what `Doc.from_json` was given."""
    vocab = spacy.blank("en").vocab
    data = {"text": "bread", "tokens": [{"id": 0, "start": 0, "end": 5}], "_": {"topic": [1.0, 2]}}
    Doc.set_extension("topic", default=None, force=True)
    doc = Doc(vocab).from_json(data)
    assert doc._.topic == [1.0, 2]
    vector = get_vector(doc, "topic")
    assert vector is not None
    assert vector.dtype == np.float32
    assert_array_equal(vector, [1.0, 2.0])
    # A list in the user_data of a Doc of before is read as an array as well.
    Doc.remove_extension("topic")
    register_extension("topic", "tuned")
    assert isinstance(doc._.topic, np.ndarray)


def test_vectors_and_other_attributes_go_through_the_module_json(files: Files) -> None:
    doc = spacy.load(files.model)("bread and soup")
    Doc.set_extension("source", default="kitchen")
    data = doc.to_json(underscore=["source", "topic"])
    Doc.remove_extension("source")
    # The module json has no hook for arrays, but an argument.
    written = json.dumps(data, default=np.ndarray.tolist)
    assert json.loads(written)["_"] == {"source": "kitchen", "topic": doc._.topic.tolist()}


# other components


def spans_and_cats(nlp: Language, n: int = 30) -> list[Example]:
    examples = make_examples(nlp, n)
    for example in examples:
        doc = example.reference
        topic = max(doc.cats, key=doc.cats.__getitem__)
        words = TOPICS[topic].split()
        doc.spans["sc"] = [Span(doc, t.i, t.i + 1, topic) for t in doc if t.text in words]
    return examples


@pytest.mark.slow
@pytest.mark.parametrize("classifier", ["textcat", "textcat_multilabel"])
def test_other_classifiers_train_beside_it(
    classifier: str, make_nlp: Callable[..., Language], caplog: pytest.LogCaptureFixture
) -> None:
    nlp = make_nlp("tuner", extension="topic")
    nlp.add_pipe(classifier)
    nlp.add_pipe("spancat")
    examples = spans_and_cats(nlp)
    optimizer = nlp.initialize(lambda: examples)
    assert "both write" not in caplog.text
    first: dict[str, float] = {}
    nlp.update(examples, sgd=optimizer, losses=first)
    assert first.keys() == {"tuner", classifier, "spancat"}
    for _ in range(30):
        last: dict[str, float] = {}
        nlp.update(examples, sgd=optimizer, losses=last)
    assert last["tuner"] < first["tuner"]
    assert last[classifier] < first[classifier]
    # The cats are those of spaCy's classifier.
    text = "bread and soup"
    doc, alone = nlp(text), nlp.make_doc(text)
    nlp.get_pipe(classifier)(alone)
    assert doc.cats == alone.cats
    assert doc.cats
    assert "sc" in doc.spans
    scores = nlp.evaluate(spans_and_cats(nlp))
    assert scores["topic_p1"] > 0.8
    assert {"cats_score", "spans_sc_f"} <= scores.keys()
    of_classifier = nlp.get_pipe(classifier).score(
        [Example(nlp(example.text), example.reference) for example in spans_and_cats(nlp)]
    )
    assert scores["cats_score"] == pytest.approx(of_classifier["cats_score"])


def test_two_components_that_write_cats_are_warned_of(
    make_nlp: Callable[..., Language], caplog: pytest.LogCaptureFixture
) -> None:
    nlp = make_nlp("tuner", set_cats=True)
    nlp.add_pipe("textcat")
    examples = make_examples(nlp)
    nlp.initialize(lambda: examples)
    assert "[tuner] and [textcat] both write to doc.cats" in caplog.text


# loops of one's own


def fit(nlp: Language, cats: list[dict[Any, Any]], texts: list[str] | None = None) -> Language:
    texts = texts or [text for text, _ in make_texts(len(cats))]
    examples = [
        Example.from_dict(nlp.make_doc(text), {"cats": known})
        for text, known in zip(texts, cats, strict=True)
    ]
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(5):
        nlp.update(examples, sgd=optimizer)
    return nlp


@pytest.mark.parametrize(
    ("cats", "match"),
    [
        ([{"sentiment": "negative"}], "'sentiment' has the value 'negative', a str"),
        ([{"A": 0}, {"B": 1}, {"C": 2}], "'C' has the value 2, outside 0..1"),
        ([{0: True, 1: False}, {0: False, 1: True}], "0 .*is not a non-empty string"),
        ([{"A": Decimal("0.5")}, {"B": Decimal("1")}], "'A' has the value Decimal"),
        ([{"A": float("nan")}, {"B": 1.0}], "'A' has the value nan"),
        ([{"A": None}, {"B": 1.0}], "'A' has the value None"),
        ([{"": 1.0}, {"B": 1.0}], "'' .*is not a non-empty string"),
    ],
)
def test_odd_cats_are_errors_that_name_document_label_and_value(
    cats: list[dict[Any, Any]], match: str, make_nlp: Callable[..., Language]
) -> None:
    with pytest.raises(ValueError, match=match) as error:
        fit(make_nlp(), cats)
    text = make_texts(len(cats))[-1 if "2, outside" in match else 0][0]
    assert text[:10] in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [np.float32, np.float64, np.bool_, bool, int, np.int64])
def test_numbers_of_every_type_are_values(kind: Any, make_nlp: Callable[..., Language]) -> None:
    nlp = fit(make_nlp(), [{"A": kind(1), "B": kind(0)}, {"A": kind(0), "B": kind(1)}] * 3)
    assert nlp.get_pipe("embtune").cfg["label_counts"] == [[3.0, 3.0], [3.0, 3.0]]
    assert nlp("bread")._.embtune.any()


def test_class_numbers_as_values_leave_a_warning(
    make_nlp: Callable[..., Language], caplog: pytest.LogCaptureFixture
) -> None:
    """0 and 1 as the numbers of two classes: "A" is then known to be absent where it was meant."""
    with caplog.at_level(logging.WARNING):
        fit(make_nlp(), [{"A": 0}, {"B": 1}] * 3)
    assert "no training document carries 'A', so these labels cannot be learned" in caplog.text


@pytest.mark.slow
def test_texts_of_nothing_have_vectors_of_zeros_and_do_no_harm(
    make_nlp: Callable[..., Language],
) -> None:
    for layers in (0, 1):
        nlp = make_nlp(encoder={"trainable_layers": layers})
        empty = ["", " \n", "\u200b", "\ufeff"]
        rows = [*make_texts(12), *((text, "FOOD") for text in empty)]
        fit(nlp, [{topic: 1.0} for _, topic in rows], [text for text, _ in rows])
        alone = [Example.from_dict(nlp.make_doc(text), {"cats": {"FOOD": 1.0}}) for text in empty]
        losses = nlp.update(alone[:2], losses={})
        assert losses == {"embtune": 0.0}
        assert np.isfinite(nlp.update(alone, losses={})["embtune"])
        vectors = np.asarray([doc._.embtune for doc in nlp.pipe([*empty, "bread"])])
        assert np.isfinite(vectors).all()
        assert not vectors[:2].any()
        assert vectors[4].any()
