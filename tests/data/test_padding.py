"""Padding at the end of files of text: NUL and Ctrl-Z."""

import gzip

import pytest

from spacy_embtune.data import _padding, read_records

FILES = {
    "a.csv": "text,label\na,X\nb,Y\n",
    "a.tsv": "text\tlabel\na\tX\nb\tY\n",
    "a.jsonl": '{"text": "a", "label": "X"}\n{"text": "b", "label": "Y"}\n',
    "a.json": '[{"text": "a", "label": "X"},\n {"text": "b", "label": "Y"}]\n',
    "a.txt": "__label__X a\n__label__Y b\n",
}
MARKS = ["\x1a", "\0", "\0" * 5000, "\x1a\0\0"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("padding", MARKS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-be", "utf-32-le", "cp1252"])
def test_padding_at_the_end_is_left_out(tmp_path, name, padding, encoding):
    path = tmp_path / name
    named = None if encoding in ("utf-8", "utf-16") else encoding
    for end in ("", "\n"):
        path.write_bytes((FILES[name].rstrip("\n") + end + padding).encode(encoding))
        found = [(r.text, *r.cats) for r in read_records(path, encoding=named)]
        assert found == [("a", "X"), ("b", "Y")]


def test_padding_in_a_compressed_file_and_between_reads(tmp_path):
    texts = [f"{'x' * 5000}\0\x1a{i}" for i in range(20)]
    data = "text,label\n" + "".join(f"{text},X\n" for text in texts) + "\x1a" * 9000
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(data.encode()))
    assert [r.text for r in read_records(path)] == texts


def test_nul_at_the_end_is_told_of_because_a_part_may_be_missing(tmp_path, caplog):
    path = tmp_path / "a.csv"
    path.write_bytes(FILES["a.csv"].encode() + b"\x1a")
    list(read_records(path))
    assert not caplog.text
    path.write_bytes(FILES["a.csv"].encode() + b"\0" * 12)
    list(read_records(path))
    assert "ends with 12 NUL characters, which are ignored" in caplog.text


def test_more_padding_than_a_text_file_has_is_not_kept_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(_padding, "LONGEST_PADDING", 100)
    path = tmp_path / "a.txt"
    path.write_bytes(b"a\n" + b"\0" * 100_000)
    with pytest.raises(ValueError, match="line 2: holds a NUL character"):
        list(read_records(path))
