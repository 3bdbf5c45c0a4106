import gzip
import inspect
import json
import logging
import pickle
from pathlib import Path

import pytest
import spacy
from spacy.tokens import Doc, DocBin
from spacy.util import load_config, registry

from spacy_embtune._texts import text_key
from spacy_embtune.data import RecordsReader, make_records_reader, read_records

from ..conftest import make_texts

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.cfg"))
NLP = spacy.blank("en")


def write_csv(path, n=200, *, group=False):
    rows = [f"text {i},{'AB'[i % 2]},{i // 4 if group else i}" for i in range(n)]
    path.write_text("\n".join(["text,label,object", *rows]) + "\n")
    return path


def texts(reader):
    return [example.reference.text for example in reader(NLP)]


def test_any_file_becomes_examples_and_unknown_labels_are_missing(tmp_path):
    rows = [
        {"text": "one", "cats": {"A": 1, "B": 0.25}, "id": "x", "author": {"name": "Ann"}},
        {"text": "two", "cats": {}},
        {"text": " ", "cats": {"A": 1}},
        {"text": "three\nlines", "label": "B"},
    ]
    path = tmp_path / "data.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    examples = list(RecordsReader(path)(NLP))
    assert [e.reference.cats for e in examples] == [{"A": 1.0, "B": 0.25}, {}, {"B": 1.0}]
    assert [e.predicted.cats for e in examples] == [{}, {}, {}]
    assert [e.predicted.text for e in examples] == ["one", "two", "three\nlines"]
    assert examples[0].reference.user_data == {"id": "x", "author": {"name": "Ann"}}


def test_one_file_serves_both_corpora(tmp_path):
    path = write_csv(tmp_path / "data.csv")
    for dev_path in (None, path, str(path)):
        train = texts(RecordsReader(path, dev_path=dev_path, split="train"))
        dev_reader = RecordsReader(path, dev_path=dev_path, split="dev")
        dev = texts(dev_reader)
        assert sorted(train + dev) == sorted(f"text {i}" for i in range(200))
        assert 20 <= len(dev) <= 60
        # From the second time on the share is kept.
        assert texts(dev_reader) == dev
        assert texts(pickle.loads(pickle.dumps(dev_reader))) == dev
    backwards = tmp_path / "backwards.csv"
    head, *rows = path.read_text().splitlines()
    backwards.write_text("\n".join([head, *(row.upper() for row in reversed(rows))]))
    again = texts(RecordsReader(backwards, split="dev"))
    assert {text_key(text) for text in again} == set(dev)
    assert texts(RecordsReader(path, split="dev", seed=1)) != dev
    assert texts(RecordsReader(path)) == [f"text {i}" for i in range(200)]


def test_a_dev_file_of_its_own_is_read_whole_and_so_is_the_training_file(tmp_path):
    path = write_csv(tmp_path / "data.csv")
    dev = write_csv(tmp_path / "dev.csv", 7)
    assert len(texts(RecordsReader(path, dev_path=dev, split="train"))) == 200
    assert len(texts(RecordsReader(path, dev_path=dev, split="dev"))) == 7


def test_groups_are_on_one_side(tmp_path):
    path = write_csv(tmp_path / "data.csv", group=True)
    sides = [
        {
            e.reference.user_data["object"]
            for e in RecordsReader(path, split=split, group_field="object")(NLP)
        }
        for split in ("train", "dev")
    ]
    assert len(sides[0]) + len(sides[1]) == 50
    assert not sides[0] & sides[1]
    # A digest of few groups alone could leave a side empty.
    for seed in range(20):
        few = write_csv(tmp_path / "few.csv", 20, group=True)
        dev = texts(RecordsReader(few, split="dev", group_field="object", seed=seed))
        assert len(dev) == 4
    with pytest.raises(ValueError, match="no document has the field 'author'"):
        texts(RecordsReader(path, split="dev", group_field="author"))


def test_annotations_of_docs_survive(tmp_path):
    docs = DocBin(store_user_data=True)
    for i in range(40):
        doc = Doc(NLP.vocab, words=["good", f"soup{i}"], spaces=[False, False], pos=["ADJ", "NOUN"])
        doc.cats = {"FOOD": 1.0}
        doc.user_data["author"] = "Ann"
        docs.add(doc)
    docs.add(Doc(NLP.vocab))
    folder = tmp_path / "corpus"
    folder.mkdir()
    docs.to_disk(folder / "docs.spacy")
    (tmp_path / "docs.spacy.gz").write_bytes(gzip.compress(docs.to_bytes()))
    for path in (folder / "docs.spacy", folder, tmp_path / "docs.spacy.gz"):
        examples = list(RecordsReader(path)(NLP))
        assert len(examples) == 40
        for example in examples:
            assert [t.pos_ for t in example.reference] == ["ADJ", "NOUN"]
            assert example.reference.cats == {"FOOD": 1.0}
            assert example.reference.user_data["author"] == "Ann"
    dev = RecordsReader(folder, split="dev")
    for _ in range(2):
        found = [e.reference for e in dev(NLP)]
        assert 0 < len(found) < 20
        assert all([t.pos_ for t in doc] == ["ADJ", "NOUN"] for doc in found)
        assert all(doc.user_data["author"] == "Ann" for doc in found)


def test_labels_in_the_user_data_of_docs_are_read_when_they_are_named(tmp_path):
    docs = DocBin(store_user_data=True)
    doc = NLP("good soup")
    doc.user_data["topic"] = "FOOD"
    docs.add(doc)
    docs.to_disk(tmp_path / "docs.spacy")
    (example,) = RecordsReader(tmp_path / "docs.spacy", label_field="topic")(NLP)
    assert example.reference.cats == {"FOOD": 1.0}


def test_what_is_left_out_is_logged_once(tmp_path, caplog):
    path = tmp_path / "data.jsonl"
    path.write_text('{"text": ""}\n{"text": "soup"}\n')
    reader = RecordsReader(path)
    with caplog.at_level(logging.INFO):
        assert texts(reader) == texts(reader) == ["soup"]
    assert caplog.text.count("left out 1 documents without text") == 1
    assert caplog.text.count("no document has a known label") == 1


def test_the_number_of_documents_can_be_limited(tmp_path):
    assert texts(RecordsReader(write_csv(tmp_path / "data.csv"), limit=3)) == [
        "text 0",
        "text 1",
        "text 2",
    ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"path": None}, "E913"),
        ({"path": None, "split": "dev"}, "E913"),
        ({"path": "-"}, "read several times"),
        ({"path": "x.csv", "split": "test"}, '"train", "dev" or null'),
        ({"path": "x.csv", "dev_fraction": 0.0}, "above 0 and below 1"),
        ({"path": "x.csv", "dev_fraction": 1.0}, "above 0 and below 1"),
        ({"path": "x.csv", "dev_path": "y.csv"}, "needs split"),
    ],
)
def test_settings_that_are_not_possible_are_an_error(settings, message):
    with pytest.raises(ValueError, match=message):
        make_records_reader(**settings)


@pytest.mark.parametrize(
    ("name", "content", "settings", "message"),
    [
        ("data.csv", "", {}, "data.csv"),
        ("data.jsonl", "", {}, "no document is left, of 0 documents"),
        ("data.jsonl", '{"text": ""}', {}, "no document is left, of 1 documents .1 without text"),
        ("data.jsonl", '{"text": "x"}', {"split": "train"}, "file of its own"),
        ("data.csv", "txt,label\nsoup,FOOD\n", {}, "no column 'text'"),
        ("data.spacy", "no docs", {}, "not a .spacy file"),
        (None, "", {}, "directory without .spacy files"),
    ],
)
def test_a_file_that_cannot_be_a_corpus_is_a_clear_error(
    tmp_path, name, content, settings, message
):
    path = tmp_path if name is None else tmp_path / name
    if name is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=message):
        list(RecordsReader(path, **settings)(NLP))


def test_a_missing_file_is_a_clear_error(tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        list(RecordsReader(tmp_path / "missing.csv")(NLP))


def test_every_setting_of_read_records_is_one_of_the_reader():
    settings = inspect.signature(read_records).parameters.keys()
    own = inspect.signature(make_records_reader).parameters.keys()
    assert settings - {"source", "report", "position"} <= own


@pytest.mark.parametrize("config_path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_configs_take_a_table_as_it_is(tmp_path, config_path):
    path = write_csv(tmp_path / "data.csv", group=True)
    dev = write_csv(tmp_path / "dev.csv", 8, group=True)
    sizes = []
    for overrides in ({}, {"paths.dev": str(dev)}):
        overrides = {"paths.train": str(path), **overrides}
        config = load_config(config_path, overrides=overrides, interpolate=True)
        corpora = registry.resolve({"corpora": config["corpora"]})["corpora"]
        found = {name: list(corpora[name](NLP)) for name in ("train", "dev")}
        sizes.append(tuple(map(len, found.values())))
    split, given = sizes
    assert split[0] + split[1] == 200
    assert 20 <= split[1] <= 60
    assert given == (200, 8)


@pytest.mark.slow
def test_spacy_trains_on_a_table_without_a_dev_file(tmp_path, tiny_encoder):
    from spacy.cli.train import train

    path = tmp_path / "data.csv"
    rows = [f"{text},{topic}" for text, topic in make_texts(120)]
    path.write_text("\n".join(["text,label", *rows]))
    overrides = {
        "paths.train": str(path),
        "components.embtune.model.encoder.name": str(tiny_encoder),
        "training.max_steps": 40,
        "training.eval_frequency": 20,
    }
    config = next(path for path in CONFIGS if path.stem == "feedforward")
    train(config, tmp_path / "out", overrides=overrides)
    nlp = spacy.load(tmp_path / "out" / "model-best")
    assert set(nlp.get_pipe("embtune").labels) == {"SPORT", "FOOD", "MUSIC"}
    assert nlp.meta["performance"]["embtune_p1"] > 0.5
    dev = set(texts(RecordsReader(path, split="dev")))
    train_texts = [text for text, _ in make_texts(120) if text not in dev]
    assert nlp.get_pipe("embtune").seen.recognize(train_texts).all()
    assert not nlp.get_pipe("embtune").seen.recognize(sorted(dev)).any()


def test_spans_beyond_their_text_are_told_of_once(tmp_path, caplog):
    span = {"start": 0, "end": 4, "label": "FOOD"}
    rows = [("Soup.", [span]), ("Old.", [{**span, "end": 99}]), ("Bread.", "other"), ("Oh.", [])]
    path = tmp_path / "data.jsonl"
    path.write_text("\n".join(json.dumps({"text": t, "spans": spans}) for t, spans in rows))
    reader = RecordsReader(path)
    nlp = spacy.blank("en")
    for _ in range(2):
        examples = list(reader(nlp))
    assert [len(example.reference.spans.get("sc", [])) for example in examples] == [1, 0, 0, 0]
    (message,) = [m for m in caplog.messages if "spans" in m]
    assert "left out the spans of 1 documents" in message
    assert "document '1': span 0 of 'spans' goes from 0 to 99" in message
