"""The run over a corpus: chunk after chunk, each kept as soon as it is finished."""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from spacy.language import Language

from .._files import atomic_path, explain_full_disk
from .._progress import progress_interval
from ..data import Record
from ..pipeline import EmbTune, find_component
from ._docbin import SpacyDocs
from ._formats import Chunk, Format, JsonLines, Npz, Parquet
from ._parts import Part, Parts
from ._vectors import Embedder

SUFFIXES = (".parquet", ".npz", ".spacy", ".jsonl")

# A chunk of long texts ends here, so that a chunk is never more than some dozens of megabytes.
MOST_CHARACTERS = 2**24

# Seconds before which a progress bar would only flicker.
DELAY = 1.0


class Summary(NamedTuple):
    """What a run did.

    n (int): How many records the result holds.
    n_kept (int): How many of them were finished by an earlier run.
    n_empty (int): How many have no text, and vectors of zeros.
    seconds (float): How long it took.
    """

    n: int
    n_kept: int
    n_empty: int
    seconds: float


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
) -> Summary:
    """Write the vectors of a corpus to a file, in constant memory.

    The records are embedded in chunks. Finished chunks lie in the directory OUT.parts until the
    result is whole: after an interruption, even by a kill, the same call goes on from there, with
    the result, byte for byte, that it would have had. Meanwhile both take space on the disk.

        records = read_records("corpus.jsonl.gz")
        embed_corpus(nlp, records, "corpus.parquet", what=["base", "tuned"], progress=True)

    nlp (Language): The pipeline.
    records (Iterable[Record]): The records, read once.
    out (str | Path): The result; its suffix says what it is:
        .parquet: columns id, text, and the vectors as lists; the scores as a struct.
        .npz: arrays `ids`, and the vectors, a row a record; the `labels` of the scores.
        .jsonl: objects of id, text, cats and the vectors as lists; the scores by label.
        .spacy: Docs with the vectors in doc._, their ids in doc.user_data["id"], and in doc.cats
            the scores, if asked for, or else what was known. The distinct tokens are in memory when
            it is put together; who reads it has all of it in memory.
    name (str | None): The name of the component; None: the only one there is.
    what (Iterable[str]): One or more of "base" and "tuned", the vectors, and "scores", the
        probabilities of the labels.
    chunk_size (int): How many records are in memory, and made again after an interruption.
    batch_size (int | None): Texts per forward pass of the encoder; None: what the pipeline says.
    force (bool): Whether to replace a result that exists, and to make again chunks that were made
        of something else.
    progress (Callable | bool): Whether to show a progress bar; a function that returns which share
        of the records has been read, 0..1, shows the time left as well.
    RETURNS (Summary): What was done.
    RAISES (ValueError): If the settings make no sense, the result exists, there are no records, or
        chunks were made of something else. OSError: if something cannot be written, as on a full
        disk. KeyboardInterrupt: with a message of how to go on.
    """
    started = time.monotonic()
    out = Path(out)
    if chunk_size < 1:
        raise ValueError(f"chunk_size is {chunk_size}: give a number of at least 1.")
    if out.exists() and not force:
        raise ValueError(f"{out} exists already: give another name, or replace it (--force).")
    component = find_component(nlp, name)
    embedder = Embedder(nlp, component, what, batch_size)
    form = _make_format(out, nlp, component)
    settings = {
        "pipeline": embedder.identify()[:16],
        "what": ",".join(embedder.what),
        "chunk size": chunk_size,
        "batch size": embedder.batch_size,
        **embedder.environment(),
    }
    parts = Parts(out, form.suffix, settings, force=force)
    n_empty = 0
    with parts.open(), _saying_how_to_go_on(parts), explain_full_disk(out):
        finished: list[Part] = []
        with _Bar(progress) as bar:
            for chunk in _chunks(records, chunk_size):
                n_empty += sum(not record.text.strip() for record in chunk)
                finished.append(_finish(chunk, len(finished), parts, form, embedder, bar))
                form.admit(finished[-1])
        if not finished:
            raise ValueError(f"There are no records, and {out} is not written. Give at least one.")
        parts.end(len(finished))
        with atomic_path(out, within=parts.folder) as unfinished:
            form.join(finished, unfinished)
        parts.remove()
    return Summary(parts.n_done, parts.n_kept, n_empty, time.monotonic() - started)


def _make_format(out: Path, nlp: Language, component: EmbTune) -> Format:
    match out.suffix.lower():
        case ".spacy":
            return SpacyDocs(nlp, component)
        case ".jsonl":
            return JsonLines(component.labels)
        case ".npz":
            return Npz(component.labels)
        case ".parquet":
            return Parquet(component.labels)
    raise ValueError(
        f"{out}: the name does not say what to write. Give one that ends in {', '.join(SUFFIXES)}."
    )


def _chunks(records: Iterable[Record], size: int) -> Iterator[list[Record]]:
    """Divide records, always in the same places."""
    chunk: list[Record] = []
    n_characters = 0
    for record in records:
        chunk.append(record)
        n_characters += len(record.text)
        if len(chunk) == size or n_characters >= MOST_CHARACTERS:
            yield chunk
            chunk, n_characters = [], 0
    if chunk:
        yield chunk


def _finish(
    records: list[Record], number: int, parts: Parts, form: Format, embedder: Embedder, bar: "_Bar"
) -> Part:
    """RETURNS (Part): The chunk, as an earlier run left it, or made now."""
    digest = _digest(records)
    bar.read(len(records))
    part = parts.find(number, digest)
    if part is not None:
        bar.skip(len(records))
        return part
    with _memory_zone(embedder.nlp):
        vectors = embedder.embed([record.text for record in records], bar.advance)
        chunk = Chunk(records, vectors)
        return parts.add(number, digest, len(records), lambda path: form.write_part(chunk, path))


def _digest(records: list[Record]) -> str:
    """RETURNS (str): What tells a chunk from chunks of any other records."""
    digest = hashlib.sha256()
    for record in records:
        line = json.dumps([record.id, record.text, sorted(record.cats.items())])
        digest.update(f"{line}\n".encode())
    return digest.hexdigest()


def _memory_zone(nlp: Language) -> AbstractContextManager[Any]:
    """Let the vocabulary forget the words of a chunk: otherwise it grows with the corpus."""
    vocab: Any = nlp.vocab
    return nullcontext() if vocab.in_memory_zone else nlp.memory_zone()


@contextmanager
def _saying_how_to_go_on(parts: Parts) -> Iterator[None]:
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        if parts.n_done:
            error.add_note(
                f"{parts.n_done:,} records are finished and kept in {parts.folder}: the same "
                "command goes on from there."
            )
        raise


class _Bar:
    """A progress bar of records. Where their number is not known, it is estimated by how far the
    input has been read."""

    def __init__(self, progress: Callable[[], float | None] | bool) -> None:
        from tqdm.auto import tqdm

        self._fraction = progress if callable(progress) else None
        self._n_read = 0
        self.bar = tqdm(
            desc="Embedding",
            unit=" texts",
            disable=progress is False,
            mininterval=progress_interval(),
            dynamic_ncols=True,
            delay=DELAY,
        )

    def __enter__(self) -> "_Bar":
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.close()

    def read(self, n: int) -> None:
        """Say that n more records were read."""
        self._n_read += n
        fraction = self._fraction() if self._fraction else None
        if fraction:
            self.bar.total = max(self._n_read, round(self._n_read / fraction))

    def advance(self, n: int) -> None:
        """Say that n more records were embedded."""
        self.bar.update(n)

    def skip(self, n: int) -> None:
        """Say that n more records were finished earlier: they say nothing of the speed."""
        if self.bar.disable:
            return
        self.bar.initial += n
        self.bar.n += n
        self.bar.last_print_n = self.bar.n
        self.bar.update(0)
