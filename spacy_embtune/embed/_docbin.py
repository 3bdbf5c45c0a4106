"""Write a .spacy file from chunks, as `DocBin` writes it, without having all of it in memory.

A .spacy file is one compressed message of msgpack. The message is a map: some of its values are
bytes (an array with a row for each token), others are lists (with an item for each document). spaCy
makes the values of each chunk. The values of all chunks are then concatenated behind a header with
their total size. The result is the same as spaCy's for all documents at once.
"""

import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import srsly
from spacy.language import Language
from spacy.tokens import DocBin
from srsly.msgpack import Packer

from ..data import to_json_value
from ..pipeline import EmbTune
from ._formats import Chunk, Format, other_fields
from ._parts import Part

# The size of a bytes field has 32 bits.
MOST_BYTES = 2**32 - 1

# The texts of tokens. Chunks share many of them, so they are merged.
STRINGS = "strings"


class SpacyDocs(Format):
    """Tokenized Docs with vectors in the component's `doc._` attributes, the id in
    `doc.user_data["id"]`, the other fields in `doc.user_data` too, and in `doc.cats` the scores, or
    the known cats if there are none."""

    suffix = ".zip"

    def __init__(self, nlp: Language, component: EmbTune) -> None:
        super().__init__(component.labels)
        self.nlp = nlp
        self.names = {"base": component.base_extension, "tuned": component.extension}
        self._n_bytes: dict[str, int] = {}

    def write_part(self, chunk: Chunk, path: Path) -> dict[str, Any]:
        # A tokenized text has no annotations, so ORTH is enough.
        docs = DocBin(attrs=["ORTH"], store_user_data=True)
        for i, record in enumerate(chunk.records):
            # nlp.make_doc would limit the length of texts.
            doc = self.nlp.tokenizer(record.text)
            doc.cats = dict(record.cats)
            doc.user_data["id"] = record.id
            for name, value in other_fields(chunk, i).items():
                doc.user_data[name] = _to_msgpack(value)
            for key, rows in chunk.vectors.items():
                if key == "scores":
                    doc.cats = dict(zip(self.labels, rows[i].tolist(), strict=True))
                else:
                    doc._.set(self.names[key], rows[i])
            docs.add(doc)
        fields = srsly.msgpack_loads(zlib.decompress(docs.to_bytes()))
        # One Packer for all items, because creating one takes a millisecond.
        pack = Packer(use_bin_type=True).pack
        info = {}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
            for name, value in fields.items():
                if isinstance(value, list) and name not in (STRINGS, "attrs"):
                    info[name] = ["items", len(value)]
                    value = b"".join(map(pack, value))
                elif isinstance(value, bytes):
                    info[name] = ["bytes", len(value)]
                else:
                    info[name] = ["value", 1]
                    value = pack(value)
                out.writestr(zipfile.ZipInfo(name), value, zipfile.ZIP_DEFLATED)
        return info

    def admit(self, part: Part) -> None:
        for name, (kind, size) in part.info.items():
            total = self._n_bytes.get(name, 0) + size
            self._n_bytes[name] = total
            if kind == "bytes" and total > MOST_BYTES:
                raise ValueError(
                    "The corpus has too many tokens for one .spacy file, which holds at most 4 GiB "
                    f"or {MOST_BYTES // 8:,} tokens. Write .parquet, .npz or .jsonl, or split it."
                )

    def join(self, parts: Sequence[Part], path: Path) -> None:
        compressor = zlib.compressobj()
        with path.open("wb") as out:
            for data in self._pieces(parts):
                out.write(compressor.compress(data))
            out.write(compressor.flush())

    def _pieces(self, parts: Sequence[Part]) -> Iterator[bytes]:
        """YIELDS (bytes): The message in pieces."""
        fields = parts[0].info
        yield Packer().pack_map_header(len(fields))
        for name, (kind, _) in fields.items():
            yield srsly.msgpack_dumps(name)
            if name == STRINGS:
                yield _merge_strings(parts)
            elif kind == "value":
                yield from _read(parts[:1], name)
            else:
                yield _header(kind, sum(part.info[name][1] for part in parts))
                yield from _read(parts, name)


def _to_msgpack(value: Any) -> Any:
    """RETURNS (Any): The value of a field, as msgpack can hold it."""
    value = value if isinstance(value, np.ndarray | float) else to_json_value(value)
    # Whole numbers of msgpack have 64 bits.
    is_large = isinstance(value, int) and not -(2**63) <= value < 2**64
    return str(value) if is_large else value


def _header(kind: str, size: int) -> bytes:
    if kind == "items":
        return bytes(Packer().pack_array_header(size))
    # Packer has no headers for bytes. These are "bin 8", "bin 16" and "bin 32" of msgpack.
    if size < 2**8:
        return struct.pack(">BB", 0xC4, size)
    return struct.pack(">BH", 0xC5, size) if size < 2**16 else struct.pack(">BI", 0xC6, size)


def _read(parts: Sequence[Part], name: str) -> Iterator[bytes]:
    for part in parts:
        with zipfile.ZipFile(part.path) as file:
            yield file.read(name)


def _merge_strings(parts: Sequence[Part]) -> bytes:
    """RETURNS (bytes): The distinct strings of all chunks as msgpack."""
    strings: set[str] = set()
    for data in _read(parts, STRINGS):
        strings.update(srsly.msgpack_loads(data))
    return srsly.msgpack_dumps(sorted(strings))
