import gzip
import json
import os
import subprocess
import sys
from collections import Counter

import pytest
import spacy
from spacy.tokens import Doc, DocBin

from spacy_embtune.data import read_records


def read_spacy(path):
    return list(DocBin().from_disk(path).get_docs(spacy.blank("en").vocab))


def write_lines(path, lines):
    path.write_text("\n".join(x if isinstance(x, str) else json.dumps(x) for x in lines) + "\n")
    return path


def entries(n, n_labels=2):
    return [{"text": f"text {i}", "cats": {f"L{i % n_labels}": 1}} for i in range(n)]


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
def test_records_become_docs_and_missing_labels_stay_missing(embtune, tmp_path, suffix):
    lines = [
        {"text": "one", "cats": {"A": 1, "B": 0.25}},
        {"text": "two \U0001f600", "cats": {"B": 0}},
        {"text": "three\nlines", "cats": {}, "more": ["is", "kept", 1.5]},
        {"text": "four", "cats": {"A": True}, "id": "x4"},
    ]
    content = "\ufeff" + "\r\n\n".join(map(json.dumps, lines))
    path = tmp_path / f"data{suffix}"
    path.write_bytes(gzip.compress(content.encode()) if suffix.endswith("gz") else content.encode())
    code, _, error = embtune("convert", path, tmp_path / "out", "--dev-fraction", "0.25")
    assert code == 0, error
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["dev.spacy", "train.spacy"]
    docs = read_spacy(tmp_path / "out/train.spacy") + read_spacy(tmp_path / "out/dev.spacy")
    assert {d.text: d.cats for d in docs} == {e["text"]: e["cats"] for e in lines}
    data = {d.text: d.user_data for d in docs}
    # spaCy reads lists in user_data as tuples.
    assert data["three\nlines"] == {"id": "2", "more": ("is", "kept", 1.5)}
    assert data["four"] == {"id": "x4"}
    # They come back as they were.
    records = [r for name in ("train", "dev") for r in read_records(tmp_path / f"out/{name}.spacy")]
    assert {r.text: json.dumps([r.cats, r.id, r.meta]) for r in records} == {
        r.text: json.dumps([r.cats, r.id, r.meta]) for r in read_records(path)
    }


@pytest.mark.slow
def test_a_table_becomes_a_corpus(embtune, tmp_path):
    path = tmp_path / "data.csv"
    path.write_text(
        "body,topic,author\n" + "".join(f"t {i},L{i % 2},a{i % 5}\n" for i in range(50))
    )
    settings = ["--text-field", "body", "--label-field", "topic", "--group-field", "author"]
    code, output, error = embtune("convert", path, tmp_path / "out", *settings)
    assert code == 0, error
    train, dev = (read_spacy(tmp_path / f"out/{name}.spacy") for name in ("train", "dev"))
    assert (len(train), len(dev)) == (40, 10)
    assert train[0].cats in ({"L0": 1.0}, {"L1": 1.0})
    authors = [{doc.user_data["author"] for doc in part} for part in (train, dev)]
    assert not authors[0] & authors[1]
    assert "documents 40 10" in " ".join(output.split())


@pytest.mark.slow
def test_parts_are_stratified_deterministic_and_of_the_size_asked_for(embtune, tmp_path):
    path = write_lines(tmp_path / "data.jsonl", entries(200, 5))
    sizes = []
    for out in ("1", "2"):
        args = [path, tmp_path / out, "--dev-fraction", "0.2", "--test-fraction", "0.1"]
        assert embtune("convert", *args)[0] == 0
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
    assert embtune("convert", path, tmp_path / "3", "--seed", "1")[0] == 0
    third = tmp_path / "3" / "train.spacy"
    assert third.read_bytes() != (tmp_path / "1" / "train.spacy").read_bytes()


@pytest.mark.slow
def test_the_files_are_the_same_to_the_byte_in_every_process(tmp_path):
    path = write_lines(tmp_path / "data.jsonl", entries(60, 3))
    for seed in ("1", "2"):
        subprocess.run(
            [sys.executable, "-m", "spacy", "embtune", "convert", str(path), str(tmp_path / seed)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.DEVNULL,
            check=True,
        )
    for name in ("train.spacy", "dev.spacy"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


@pytest.mark.slow
def test_files_of_their_own_are_kept_whole_and_train_loses_what_they_hold(embtune, tmp_path):
    path = write_lines(tmp_path / "data.jsonl", entries(10))
    dev = write_lines(tmp_path / "dev.jsonl", [{"text": "TEXT  3", "cats": {"L0": 0}}])
    test = write_lines(tmp_path / "test.jsonl", [{"text": "text 4"}, {"text": "new"}])
    code, _, error = embtune("convert", path, tmp_path / "out", "--dev", dev, "--test", test)
    assert code == 0
    assert "Left out 2 documents" in error
    found = {
        name: [doc.text for doc in read_spacy(tmp_path / f"out/{name}.spacy")]
        for name in ("train", "dev", "test")
    }
    assert found["train"] == [f"text {i}" for i in range(10) if i not in (3, 4)]
    assert found["dev"] == ["TEXT  3"]
    assert found["test"] == ["text 4", "new"]


@pytest.mark.slow
def test_docs_keep_their_annotations(embtune, tmp_path):
    nlp = spacy.blank("en")
    docs = DocBin(store_user_data=True)
    for i in range(20):
        doc = Doc(nlp.vocab, words=["good", f"soup{i}"], pos=["ADJ", "NOUN"])
        doc.cats = {"FOOD": 1.0}
        doc.user_data["author"] = f"a{i}"
        docs.add(doc)
    docs.to_disk(tmp_path / "data.spacy")
    assert embtune("convert", tmp_path / "data.spacy", tmp_path / "out")[0] == 0
    found = [doc for name in ("train", "dev") for doc in read_spacy(tmp_path / f"out/{name}.spacy")]
    assert len(found) == 20
    assert all([token.pos_ for token in doc] == ["ADJ", "NOUN"] for doc in found)
    assert {doc.user_data["author"] for doc in found} == {f"a{i}" for i in range(20)}


def test_texts_that_are_empty_are_left_out_and_counted(embtune, tmp_path):
    lines = [*entries(10), {"text": "", "label": "L0"}, {"text": " \n"}, {"text": None}]
    path = write_lines(tmp_path / "data.jsonl", lines)
    code, _, error = embtune("convert", path, tmp_path / "out")
    assert code == 0
    assert "Left out 3 documents without text" in error


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"text": f"text {i}"} for i in range(10)], "No document has a known label"),
        ([{"text": f"text {i}", "label": "A"} for i in range(10)], "of one class"),
    ],
)
def test_labels_that_teach_nothing_are_warned_of(embtune, tmp_path, rows, message):
    path = write_lines(tmp_path / "data.jsonl", rows)
    code, _, error = embtune("convert", path, tmp_path / "out")
    assert code == 0
    assert message in error


def test_an_invalid_line_is_an_error_or_is_skipped(embtune, tmp_path):
    path = write_lines(tmp_path / "data.jsonl", [*entries(8), "", "{"])
    code, _, error = embtune("convert", path, tmp_path / "out")
    assert code == 1
    assert "line 10" in error
    assert not (tmp_path / "out").exists()
    code, _, error = embtune("convert", path, tmp_path / "out", "--on-error", "skip")
    assert code == 0
    assert "Left out 1 record that is invalid" in error
    assert (tmp_path / "out/train.spacy").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "args", "message"),
    [
        (b"", [], "holds no documents"),
        (b"\n\n", [], "holds no documents"),
        (b"{\n", ["--on-error", "skip"], "holds no documents"),
        (b'{"text": " "}', [], "all 1 documents are without text"),
        (None, [], "no such file"),
        (b'{"text": "caf\xe9", "cats": {}}', [], "UTF-8"),
        (b'{"text": "x", "cats": {}}', [], "Nothing is left for dev"),
        (b'{"text": "x", "cats": {}}', ["--dev-fraction", "1"], "from 0 to below 1"),
        (b'{"text": "x", "cats": {}}', ["--dev-fraction", "nan"], "from 0 to below 1"),
        (
            b'{"text": "x"}',
            ["--dev-fraction", "0.5", "--test-fraction", "0.5"],
            "nothing for train",
        ),
        (b'{"text": "x", "cats": {}}\n{"text": "y", "cats": {}}', ["--lang", "qqq"], "'qqq'"),
        (b'{"text": "x"}\n{"text": "y"}', ["--group-field", "author"], "no document has the field"),
        (b'{"text": "x"}\n{"text": "y"}', ["--dev", "missing.jsonl"], "no such file"),
    ],
)
def test_what_cannot_be_converted_is_a_clear_error_and_writes_nothing(
    embtune, tmp_path, content, args, message
):
    path = tmp_path / "data.jsonl"
    if content is not None:
        path.write_bytes(content)
    fractions = [] if "--dev-fraction" in args else ["--dev-fraction", "0.4"]
    code, _, error = embtune("convert", path, tmp_path / "out", *fractions, *args)
    assert code == 1
    assert message in error
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".*unfinished*"))


@pytest.mark.slow
def test_a_corpus_is_replaced_only_when_that_is_asked_for(embtune, tmp_path):
    path = write_lines(tmp_path / "data.jsonl", entries(20))
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    assert embtune("convert", path, out, "--test-fraction", "0.2")[0] == 0
    code, _, error = embtune("convert", path, out)
    assert code == 1
    assert "holds train.spacy, dev.spacy, test.spacy already" in error
    code, _, error = embtune("convert", path, out, "--force", "--seed", "3")
    assert code == 0
    assert "test.spacy is from an earlier run" in error
    assert (out / "notes.txt").read_text() == "mine"
    (tmp_path / "file").write_text("")
    code, _, error = embtune("convert", path, tmp_path / "file")
    assert (code, "is a file" in error) == (1, True)


@pytest.mark.slow
def test_a_failure_while_writing_leaves_the_earlier_corpus_as_it_was(
    embtune, tmp_path, monkeypatch
):
    path = write_lines(tmp_path / "data.jsonl", entries(10))
    out = tmp_path / "out"
    assert embtune("convert", path, out)[0] == 0
    before = {p.name: p.read_bytes() for p in out.iterdir()}

    def fail(self, target):
        if "dev" in str(target):
            raise OSError("disk full")
        target.write_bytes(b"half")

    monkeypatch.setattr(DocBin, "to_disk", fail)
    for target in (out, tmp_path / "new"):
        code, _, error = embtune("convert", path, target, "--seed", "1", "--force")
        assert code == 1
        assert "disk full" in error
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before
    assert not (tmp_path / "new").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data.jsonl", "out"]
