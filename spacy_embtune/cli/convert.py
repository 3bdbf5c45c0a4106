"""`embtune convert`: split a labelled file into train.spacy, dev.spacy and test.spacy."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import _options, _reading
from ._common import (
    OnError,
    SkippedRecords,
    fail,
    good,
    reporting_errors,
    warn,
)

if TYPE_CHECKING:
    from spacy.tokens import Doc

    from ..data import Record

PARTS = ("train", "dev", "test")
# The number of labels in the table.
MOST_LABELS = 40


def convert(
    data: _options.Data,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Directory for the .spacy files")],
    dev_fraction: Annotated[float, typer.Option(help="Share of the documents for dev")] = 0.2,
    test_fraction: Annotated[float, typer.Option(help="Share of the documents for test")] = 0.0,
    dev: Annotated[
        Path | None, typer.Option(help="A file of its own for dev. Nothing is split off for it")
    ] = None,
    test: Annotated[
        Path | None, typer.Option(help="A file of its own for test. Nothing is split off for it")
    ] = None,
    group_field: Annotated[
        str | None,
        typer.Option(help="Field of a group, such as the author: groups are not split"),
    ] = None,
    text_field: _options.TextField = "text",
    label_field: _options.LabelField = None,
    label_fields: _options.LabelFields = None,
    label_separator: _options.LabelSeparator = None,
    label_bins: _options.LabelBins = None,
    id_field: _options.IdField = "id",
    kind: _options.Kind = None,
    delimiter: _options.Delimiter = None,
    encoding: _options.Encoding = None,
    quotes: _options.Quotes = None,
    on_error: _options.OnErrorOption = OnError.fail,
    seed: Annotated[int, typer.Option(help="Another seed makes another split")] = 0,
    lang: Annotated[str, typer.Option(help="Language of the tokenizer")] = "en",
    force: Annotated[bool, typer.Option("--force", "-F", help="Replace files that exist")] = False,
) -> None:
    """Split DATA into train.spacy, dev.spacy and test.spacy in the directory OUT.

    Each part gets its share of every label. Copies of a text (up to case and white space) and the
    documents of a group are in the same part. The same input gives the same files. A label that
    DATA does not mention for a document is unknown, not absent. Other fields are in the user_data
    of each Doc. Docs of a .spacy file keep their annotations. Documents without text are left out.
    """
    _check_directory(out, force=force)
    skipped = SkippedRecords()
    settings: dict[str, Any] = {
        "text_field": text_field,
        "label_field": label_field,
        "labels": _reading.label_settings(label_fields, label_separator, label_bins),
        "delimiter": delimiter,
        "encoding": encoding,
        "quotes": quotes,
        "id_field": id_field,
        "on_error": on_error,
        "report": skipped,
    }
    with reporting_errors("Nothing was written"):
        from ..data import split_records, write_parts

        reader = _Reader(lang, settings)
        records = reader.read(data, kind=kind)
        given = {
            name: reader.read(path, kind=kind, is_second=True)
            for name, path in (("dev", dev), ("test", test))
            if path is not None
        }
        split = split_records(
            records,
            {"dev": dev_fraction, "test": test_fraction},
            given=given,
            group_field=group_field,
            seed=seed,
        )
        parts = {name: split.parts[name] for name in PARTS if name in split.parts}
        write_parts(out, {name: map(reader.make_doc, part) for name, part in parts.items()})
        skipped.conclude()
    if reader.n_empty:
        warn(f"Left out {reader.n_empty} documents without text")
    if reader.misplaced:
        n = len(reader.misplaced)
        warn(f"Left out the spans of {n} documents", f"The first is {reader.misplaced[0]}")
    if split.n_held:
        warn(
            f"Left out {split.n_held} documents of {data}",
            "Their texts or groups are in the files that were given for dev or test.",
        )
    for note in split.notes:
        warn(note)
    _show(parts)
    _warn_of_labels(parts)
    for name in PARTS:
        if name not in parts and (out / f"{name}.spacy").exists():
            warn(
                f"{out / f'{name}.spacy'} is from an earlier run",
                f"It may hold texts that are in train.spacy now. Remove it, or use "
                f"--{name}-fraction.",
            )
    good(f"Wrote {', '.join(f'{name}.spacy' for name in parts)} to {out}")


class _Reader:
    """Reads files, and makes the Docs of their records.

    n_empty (int): The number of documents without text, which are left out.
    misplaced (list[str]): What is wrong with the spans of documents, which are left out.
    """

    def __init__(self, lang: str, settings: Mapping[str, Any]) -> None:
        import spacy

        try:
            self.nlp = spacy.blank(lang)
        except ImportError as error:
            raise ValueError(
                f"spaCy has no tokenizer for the language {lang!r} ({error}). Give another --lang."
            ) from error
        self.settings = settings
        self.n_empty = 0
        self.misplaced: list[str] = []
        self._docs: dict[int, Doc] = {}

    def read(
        self, source: str | Path, *, kind: str | None, is_second: bool = False
    ) -> "list[Record]":
        from ..data import find_kind, read_record_docs

        if is_second:
            kind = find_kind(Path(source)) or kind
        is_directory = str(source) != "-" and Path(source).is_dir()
        if is_directory or (kind or find_kind(source)) == "spacy":
            # As `read_all` hands them to `read_records`.
            settings = {**self.settings, "on_error": self.settings["on_error"].value, "kind": kind}
            settings |= settings.pop("labels", None) or {}
            found = list(
                read_record_docs(
                    source, tokenize=self.nlp.tokenizer, vocab=self.nlp.vocab, settings=settings
                )
            )
            # The records stay in memory, so their identities stay unique.
            self._docs |= {id(record): doc for record, doc in found}
            records = [record for record, _ in found]
            if not records:
                fail(f"{source} holds no documents", "Give a file with at least one text.")
        else:
            records = _reading.read_all(source, kind=kind, **self.settings)
        texts = [record for record in records if record.text.strip()]
        self.n_empty += len(records) - len(texts)
        if not texts:
            raise ValueError(
                f"{source}: all {len(records)} documents are without text. Name the field of the "
                "text (--text-field)."
            )
        return texts

    def make_doc(self, record: "Record") -> "Doc":
        from ..data import find_misplaced, make_doc

        doc = self._docs.get(id(record))
        if doc is not None:
            return doc
        fault = find_misplaced(record.meta, record.text)
        if fault is not None:
            self.misplaced.append(f"document {record.id!r}: {fault}")
        return make_doc(record, self.nlp.tokenizer, id_field=self.settings["id_field"])


def _check_directory(out: Path, *, force: bool) -> None:
    if out.exists() and not out.is_dir():
        fail(f"{out} is a file", "Give the name of a directory.")
    for folder in out.parents:
        if folder.exists() and not folder.is_dir():
            fail(f"{out} cannot be written", f"{folder} is a file. Give another directory.")
    there = [f"{name}.spacy" for name in PARTS if (out / f"{name}.spacy").exists()]
    if there and not force:
        fail(
            f"{out} holds {', '.join(there)} already",
            "Give another directory, or replace the files: --force.",
        )


def _show(parts: "Mapping[str, Sequence[Record]]") -> None:
    from wasabi import msg

    from ..labels import CARRIES

    counts = {
        name: Counter(
            label for record in part for label, value in record.cats.items() if value >= CARRIES
        )
        for name, part in parts.items()
    }
    total = sum(counts.values(), Counter())
    labels = {label for part in parts.values() for record in part for label in record.cats}
    ordered = sorted(labels, key=lambda label: (-total[label], label))
    rows = [
        (label[:40], *(counts[name][label] for name in parts)) for label in ordered[:MOST_LABELS]
    ]
    if len(ordered) > MOST_LABELS:
        rows.append((f"and {len(ordered) - MOST_LABELS} more labels", *[""] * len(parts)))
    unlabelled = [sum(not record.cats for record in part) for part in parts.values()]
    if any(unlabelled):
        rows.append(("(no known label)", *unlabelled))
    rows.append(("documents", *map(len, parts.values())))
    msg.table(rows, header=("label", *parts), divider=True, aligns=("l", *["r"] * len(parts)))


def _warn_of_labels(parts: "Mapping[str, Sequence[Record]]") -> None:
    from ..labels import CARRIES

    cats = [record.cats for record in parts["train"]]
    if not any(cats):
        warn(
            "No document has a known label",
            "Labels are read from the fields cats and label. If they are in another field, name "
            "it: --label-field.",
        )
    elif len({(label, value >= CARRIES) for known in cats for label, value in known.items()}) == 1:
        warn("All labelled documents are of one class", "There is nothing to tell apart.")
