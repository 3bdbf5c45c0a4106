"""Encodings, compressions, and sources that are not what their name says."""

import bz2
import codecs
import gzip
import json
import logging
import lzma
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pyarrow
import pytest

from spacy_embtune.data import read_records
from spacy_embtune.data._encodings import guess_encoding

WESTERN = "Le café était très bon, et la crème brûlée aussi; 12 € à emporter.\n"
RUSSIAN = "Это хороший день для прогулки, и мы пойдём в парк.\n"
JAPANESE = "これは日本語の文章です。今日は良い天気ですね。\n"


def write(path, data):
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".tsv", ".txt"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "cp1252", "utf-16-le"])
def test_text_of_every_format_is_read_in_every_encoding(tmp_path, suffix, encoding):
    text = WESTERN.strip()
    content = {
        ".jsonl": json.dumps({"text": text}, ensure_ascii=False) + "\n",
        ".json": json.dumps([{"text": text}], ensure_ascii=False, indent=1),
        ".csv": f'text\n"{text}"\n',
        ".tsv": f"text\n{text}\n",
        ".txt": f"{text}\n",
    }[suffix]
    path = write(tmp_path / f"a{suffix}", content.encode(encoding))
    marked = encoding in ("utf-8-sig", "utf-16", "utf-32")
    for named in [None, encoding] if marked else [encoding]:
        assert [r.text for r in read_records(path, encoding=named)] == [text]


def test_a_byte_order_mark_may_stand_before_the_name_of_an_encoding_without_one(tmp_path):
    path = write(tmp_path / "a.txt", codecs.BOM_UTF16_LE + "é\n".encode("utf-16-le"))
    assert [r.text for r in read_records(path, encoding="utf-16-le")] == ["é"]
    path = write(tmp_path / "a.txt", codecs.BOM_UTF8 + b"a\n")
    assert [r.text for r in read_records(path, encoding="utf-8")] == ["a"]
    with pytest.raises(ValueError, match="begins with the byte order mark of UTF-8"):
        list(read_records(path, encoding="cp1252"))


def test_marks_within_a_text_stay(tmp_path):
    path = write(tmp_path / "a.csv", "text,n\na,1\n\ufeffb,2\n")
    assert [r.text for r in read_records(path)] == ["a", "\ufeffb"]


@pytest.mark.parametrize(
    ("text", "encoding"), [(WESTERN, "cp1252"), (RUSSIAN, "cp1251"), (JAPANESE, "cp932")]
)
@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".txt"])
def test_another_encoding_is_an_error_that_names_the_likely_one(tmp_path, suffix, text, encoding):
    line = json.dumps({"text": text.strip()}, ensure_ascii=False) + "\n"
    lines = line if suffix == ".jsonl" else "text\n" + text.replace(",", "")
    path = write(tmp_path / f"a{suffix}", (lines * 3).encode(encoding))
    with pytest.raises(ValueError, match=rf"is not UTF-8.*{encoding}.*--encoding {encoding}"):
        list(read_records(path))
    assert [r.text for r in read_records(path, encoding=encoding)]


def test_a_short_text_does_not_tell_its_encoding_apart():
    assert guess_encoding("café".encode("cp1252")).startswith("cp1252")
    assert guess_encoding(b"\x81\x8d") != "cp1252"


def test_utf_16_without_a_mark_is_an_error_that_names_it(tmp_path):
    for encoding in ("utf-16-le", "utf-16-be"):
        path = write(tmp_path / "a.csv", "text,label\na,A\n".encode(encoding))
        with pytest.raises(ValueError, match=f"looks like UTF-16.*--encoding {encoding}"):
            list(read_records(path))


def test_two_encodings_in_one_file_are_an_error_that_says_so(tmp_path):
    path = write(tmp_path / "a.txt", (WESTERN * 3).encode() + (WESTERN * 3).encode("cp1252"))
    records = read_records(path)
    assert [next(records).text for _ in range(3)] == [WESTERN.strip()] * 3
    with pytest.raises(ValueError, match=r"line 4: is not UTF-8.*in two encodings: 3 lines"):
        next(records)
    kept = list(read_records(path, on_error="skip", report=lambda message: None))
    assert len(kept) == 3


def test_a_wrong_name_of_an_encoding_is_an_error(tmp_path):
    path = write(tmp_path / "a.txt", "é\n")
    for name in ("utf-9", "base64", "rot13"):
        with pytest.raises(ValueError, match=f"no text encoding '{name}'"):
            list(read_records(path, encoding=name))
    with pytest.raises(ValueError, match=r"is not ascii.*Name the right encoding"):
        list(read_records(path, encoding="ascii"))


def test_half_a_character_at_the_end_of_utf_16_is_an_error(tmp_path):
    path = write(tmp_path / "a.txt", "ab\n".encode("utf-16")[:-1])
    with pytest.raises(ValueError, match="cut off"):
        list(read_records(path))


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"PK\x03\x04\x14\0\x06\0", "a zip file or a spreadsheet"),
        (b"PAR1\x15\0\x15", "a Parquet file"),
        (b"%PDF-1.7\n", "a PDF"),
        (b"SQLite format 3\0", "an SQLite database"),
    ],
)
def test_other_files_under_the_name_of_a_table_are_recognized(tmp_path, data, what):
    for name in ("a.csv", "a.jsonl", "a.txt"):
        with pytest.raises(ValueError, match=f"is {what}, not a file of text"):
            list(read_records(write(tmp_path / name, data)))


def test_a_text_file_that_is_a_table_is_noticed(tmp_path, caplog):
    path = write(tmp_path / "a.txt", "text\tlabel\r\na\tA\r\n".encode("utf-16"))
    with caplog.at_level(logging.WARNING):
        assert len(list(read_records(path))) == 2
    assert "looks like a table" in caplog.text
    assert "--format tsv" in caplog.text
    assert [r.text for r in read_records(path, kind="tsv")] == ["a"]
    caplog.clear()
    list(read_records(write(tmp_path / "b.txt", "The text, and more\n")))
    assert not caplog.records


# Compressed files

LINES = b"".join(b'{"text": "text %d"}\n' % i for i in range(5000))


def compress_zstd(data):
    return pyarrow.Codec("zstd").compress(data, asbytes=True)


COMPRESSORS = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": compress_zstd,
}


@pytest.mark.slow
@pytest.mark.parametrize("suffix", COMPRESSORS)
def test_compressed_files_are_read_whatever_their_name(tmp_path, suffix):
    data = COMPRESSORS[suffix](LINES)
    for name in (f"a.jsonl{suffix}", "a.jsonl"):
        path = write(tmp_path / name, data)
        assert [r.text for r in read_records(path)] == [f"text {i}" for i in range(5000)]
    # Programs that work in parallel write several parts behind each other.
    path = write(tmp_path / "two.jsonl", data + data)
    assert len(list(read_records(path))) == 10_000
    path = write(tmp_path / "empty.jsonl", COMPRESSORS[suffix](b""))
    assert list(read_records(path)) == []


@pytest.mark.parametrize("suffix", COMPRESSORS)
@pytest.mark.parametrize("keep", [0.5, 0.98])
def test_half_a_compressed_file_is_an_error(tmp_path, suffix, keep):
    data = COMPRESSORS[suffix](LINES)
    path = write(tmp_path / f"a.jsonl{suffix}", data[: int(len(data) * keep)])
    with pytest.raises(ValueError, match=r"is not a whole \w+ file"):
        list(read_records(path, on_error="skip"))


@pytest.mark.parametrize("suffix", COMPRESSORS)
def test_a_damaged_compressed_file_is_an_error(tmp_path, suffix):
    data = bytearray(COMPRESSORS[suffix](LINES))
    data[len(data) // 2 : len(data) // 2 + 40] = bytes(40)
    path = write(tmp_path / f"a.jsonl{suffix}", bytes(data))
    with pytest.raises(ValueError, match=r"is not a whole \w+ file"):
        list(read_records(path, on_error="skip"))


def test_without_pyarrow_zstd_is_an_error_that_names_the_extra(tmp_path, monkeypatch):
    path = write(tmp_path / "a.jsonl.zst", compress_zstd(LINES))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"pip install 'spacy-embtune\[parquet\]'"):
        list(read_records(path))


# Sources that are no ordinary files


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".json", ".csv.gz"])
def test_a_pipe_with_a_name_is_read(tmp_path, suffix):
    content = {".jsonl": '{"text": "a"}\n', ".csv": "text;n\na;1\n", ".json": '[{"text": "a"}]'}
    data = content[suffix.removesuffix(".gz")].encode()
    path = tmp_path / f"a{suffix}"
    os.mkfifo(path)

    def fill():
        # A slow writer: the first bytes come alone.
        with path.open("wb", buffering=0) as file:
            written = gzip.compress(data) if suffix.endswith(".gz") else data
            for i in range(len(written)):
                file.write(written[i : i + 1])

    writer = threading.Thread(target=fill)
    writer.start()
    assert [r.text for r in read_records(path)] == ["a"]
    writer.join()


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".tsv", ".txt"])
def test_records_from_a_pipe_do_not_wait_for_those_behind_them(tmp_path, suffix):
    lines = {".jsonl": '{"text": "%d"}\n', ".csv": "%d;A\n", ".tsv": "%d\tA\n", ".txt": "%d\n"}
    line = lines[suffix]
    head = {".csv": "text;label\n", ".tsv": "text\tlabel\n"}.get(suffix, "")
    path = tmp_path / f"a{suffix}"
    os.mkfifo(path)
    was_read = threading.Semaphore(0)

    def fill():
        with path.open("w", buffering=1) as file:
            file.write(head)
            for i in range(10, 20):
                # Enough to recognize what is in the pipe.
                file.write("".join(line % (i * 10 + j) for j in range(5)))
                assert was_read.acquire(timeout=60)

    writer = threading.Thread(target=fill)
    writer.start()
    numbers = []
    for record in read_records(path):
        numbers.append(int(record.text))
        if len(numbers) % 5 == 0:
            was_read.release()
    writer.join()
    assert numbers == [i * 10 + j for i in range(10, 20) for j in range(5)]


def test_parquet_from_a_pipe_is_an_error(tmp_path):
    os.mkfifo(tmp_path / "a.parquet")
    with pytest.raises(ValueError, match="Parquet cannot be read from a pipe"):
        list(read_records(tmp_path / "a.parquet"))


def test_a_directory_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="is a directory"):
        read_records(tmp_path)


READ_AS_NOBODY = """
import os, sys
from spacy_embtune.data import read_records
if os.getuid() == 0:
    os.seteuid(65534)
try:
    list(read_records(sys.argv[1]))
except PermissionError as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.parametrize("closed", ["file", "directory"])
def test_a_file_that_may_not_be_read_is_an_error(closed):
    # Not in `tmp_path`, which only its owner may enter.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        path = write(folder / "a.jsonl", '{"text": "a"}')
        (path if closed == "file" else folder).chmod(0)
        command = [sys.executable, "-c", READ_AS_NOBODY, path]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        folder.chmod(0o755)
    assert "you may not read it" in result.stdout
    assert str(path) in result.stdout


def test_a_file_that_another_program_still_writes_is_an_error_that_says_so(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"text": "a"}\n{"text": "b')
    with pytest.raises(ValueError, match=r"line 2: is the last and is not whole.*still writing"):
        list(read_records(path))
    records = read_records(path)
    assert next(records).text == "a"
    # What is written meanwhile is read, too.
    path.write_text('{"text": "a"}\n{"text": "b"}\n{"text": "c"}\n')
    assert list(read_records(path))[-1].text == "c"
