"""Embed a corpus chunk by chunk. A finished chunk is saved at once."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from spacy.language import Language

from .._files import atomic_path, explain_full_disk
from ..data import Record, digest_records
from ..pipeline import find_component, unit_records
from ._bar import Bar
from ._chunks import divide, memory_zone
from ._formats import Chunk, Format
from ._make_format import make_format
from ._parts import Part, Parts
from ._vectors import Embedder


class Summary(NamedTuple):
    """The counts of a run.

    n (int): The number of records in the result.
    n_kept (int): The number of records that an earlier run finished.
    n_empty (int): The number of records without text, which get vectors of zeros.
    seconds (float): The duration of this run.
    left_out (Sequence[str]): The other fields of the records, if the format cannot hold them.
    """

    n: int
    n_kept: int
    n_empty: int
    seconds: float
    left_out: Sequence[str] = ()


def embed_corpus(
    nlp: Language,
    records: Iterable[Record],
    out: str | Path,
    *,
    name: str | None = None,
    what: Iterable[str] = ("tuned",),
    chunk_size: int = 4096,
    batch_size: int | None = None,
    force: bool = False,
    progress: Callable[[], float | None] | bool = False,
    unit: str = "doc",
    dtype: str = "float32",
) -> Summary:
    """Write the vectors of a corpus to a file, in constant memory.

    The records are embedded in chunks. Finished chunks are kept in the directory OUT.parts until
    the result is complete. After an interruption, even a kill, the same call resumes from there and
    gives the same result, byte for byte. While the result is written, the disk needs space for
    both.

    >>> import numpy as np
    >>> import spacy
    >>> from tempfile import TemporaryDirectory
    >>> from spacy_embtune.data.records import read_records
    >>> nlp = spacy.blank("en")
    >>> _ = nlp.vocab.set_vector("bread", np.ones(2))
    >>> encoder = {"@architectures": "spacy-embtune.DocVectors.v1", "source": "vectors"}
    >>> pipe = nlp.add_pipe("embtune", config={"model": {"encoder": encoder}})
    >>> with TemporaryDirectory() as folder:
    ...     data, out = Path(folder, "corpus.jsonl"), Path(folder, "vectors.jsonl")
    ...     _ = data.write_text('{"text": "bread"}')
    ...     summary = embed_corpus(nlp, read_records(data), out, what=["base"])
    ...     print(summary.n, out.read_text().strip())
    1 {"id": "0", "text": "bread", "base": [1, 1]}

    nlp (Language): The pipeline.
    records (Iterable[Record]): The records. They are read once.
    out (str | Path): The file of the result. Its suffix chooses the format:
        .parquet: columns id and text, vectors as lists, scores as a struct, other fields with their
            types. A field whose values have no common type holds JSON.
        .npz: arrays `ids`, vectors and scores with a row for each record, and the `labels` of the
            scores. Texts and other fields are left out.
        .jsonl: objects with id, text, cats, vectors as lists, scores by label, other fields.
        .spacy: Docs with vectors in doc._, the id in doc.user_data["id"], other fields by name in
            doc.user_data, and in doc.cats the scores, or the known cats if no scores are asked for.
            All distinct tokens are in memory
            while the file is written, and the whole file is in memory when it is read.
        Fields with the name of a field of the result get "_in_data" behind their name. Vectors and
        scores of an earlier result are replaced.
    name (str | None): The name of the component. None: there must be exactly one.
    what (Iterable[str]): One or more of "base" and "tuned" (vectors) and "scores" (probabilities of
        the labels).
    chunk_size (int): Records in memory at a time. An interruption loses at most one chunk.
    batch_size (int | None): Texts of 32 tokens per forward pass. None: the pipeline's setting.
    force (bool): Whether to replace an existing result, and chunks that were made from other
        records or settings.
    progress (Callable | bool): Whether to show a progress bar. A function that returns the share of
        the records that has been read, 0..1, shows the remaining time as well.
    unit (str): What a row of the result is: "doc", "sents" (a sentence) or "spans:KEY" (a labelled
        span), see `unit_records`. Results in .spacy have documents only.
    dtype (str): The type of the vectors in .parquet and .npz: "float32", or "float16" for half of
        the size and three digits. Scores are float32 in both cases.
    RETURNS (Summary): The counts of this run.
    RAISES (ValueError): When a setting is invalid, the result exists, there are no records, or
        chunks were made from other records or settings.
    RAISES (OSError): When a file cannot be written, as on a full disk.
    RAISES (KeyboardInterrupt): After Ctrl-C, with a note that tells how to resume.
    """
    started = time.monotonic()
    out = Path(out)
    if chunk_size < 1:
        raise ValueError(f"chunk_size is {chunk_size}: give a number of at least 1.")
    if out.exists() and not force:
        raise ValueError(f"{out} exists already. Give another name, or replace it (--force).")
    component = find_component(nlp, name)
    embedder = Embedder(nlp, component, what, batch_size)
    form = make_format(out, nlp, component, dtype, unit)
    records = unit_records(nlp, records, unit)
    settings = {
        "pipeline": embedder.identify()[:16],
        "what": ",".join(embedder.what),
        "chunk size": chunk_size,
        "batch size": embedder.batch_size,
        **embedder.environment(),
        # Only if it is set, so that chunks of earlier versions can be used.
        **({} if dtype == "float32" else {"dtype": dtype}),
    }
    parts = Parts(out, form.suffix, settings, force=force)
    n_empty = 0
    left_out: dict[str, None] = {}
    with parts.open(), _explain_how_to_resume(parts), explain_full_disk(out):
        finished: list[Part] = []
        with Bar(progress) as bar:
            for chunk in divide(records, chunk_size):
                n_empty += sum(not record.text.strip() for record in chunk)
                if not form.keeps_fields:
                    left_out.update(dict.fromkeys(name for r in chunk for name in r.meta))
                finished.append(_finish(chunk, len(finished), parts, form, embedder, bar))
                form.admit(finished[-1])
        if not finished:
            raise ValueError(f"There are no records, so {out} is not written. Give at least one.")
        parts.end(len(finished))
        with atomic_path(out, within=parts.folder) as unfinished:
            form.join(finished, unfinished)
        parts.remove()
    seconds = time.monotonic() - started
    return Summary(parts.n_done, parts.n_kept, n_empty, seconds, list(left_out))


def _finish(
    records: list[Record], number: int, parts: Parts, form: Format, embedder: Embedder, bar: Bar
) -> Part:
    """RETURNS (Part): The chunk, from an earlier run or made now."""
    digest = digest_records(records, with_fields=form.keeps_fields)
    bar.read(len(records))
    part = parts.find(number, digest)
    if part is not None:
        bar.skip(len(records))
        return part
    with memory_zone(embedder.nlp):
        vectors = embedder.embed([record.text for record in records], bar.advance)
        chunk = Chunk(records, vectors)
        return parts.add(number, digest, len(records), lambda path: form.write_part(chunk, path))


@contextmanager
def _explain_how_to_resume(parts: Parts) -> Iterator[None]:
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        if parts.n_done:
            error.add_note(
                f"{parts.n_done:,} records are finished and kept in {parts.folder}: the same "
                "command goes on from there."
            )
        raise
