"""What the scripts that make corpora share: texts with labels, how they are split, how written."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import spacy
import srsly
from spacy.tokens import DocBin
from wasabi import msg

from spacy_embtune._files import atomic_files


class Text(NamedTuple):
    """A text with what is known of its labels.

    text (str): The text.
    cats (Mapping[str, float]): The value of each known label, 0..1.
    meta (Mapping[str, str] | None): What else is known of it: "meta" in JSONL, a Doc's user_data.
    """

    text: str
    cats: Mapping[str, float]
    meta: Mapping[str, str] | None = None


def fold(text: str) -> str:
    """RETURNS (str): The text without case and white space: texts that differ in these are one."""
    return "".join(text.casefold().split())


def rank(seed: int, key: str) -> bytes:
    """RETURNS (bytes): A random place in an order: the same on any machine, for any other keys."""
    return hashlib.sha256(f"{seed} {key}".encode()).digest()


def write_corpus(
    out_dir: Path, splits: Mapping[str, Sequence[Text]], *, lang: str, jsonl: bool = False
) -> None:
    """Write each split as NAME.spacy: all of them, or none where anything goes wrong before.

    out_dir (Path): The directory; it is made where it is missing.
    splits (Mapping[str, Sequence[Text]]): The texts by the name of their split.
    lang (str): The language of the tokenizer.
    jsonl (bool): Whether to write NAME.jsonl beside it.
    RAISES (ValueError): If there is no such language. OSError: if the files cannot be written.
    """
    try:
        tokenizer = spacy.blank(lang).tokenizer
    except ImportError as error:
        raise ValueError(f"spaCy has no tokenizer for the language {lang!r}. {error}") from error
    with atomic_files(out_dir) as temporary:
        for name, texts in splits.items():
            docs = DocBin(store_user_data=True)
            for text in texts:
                doc = tokenizer(text.text)
                doc.cats = dict(text.cats)
                doc.user_data.update(text.meta or {})
                docs.add(doc)
            docs.to_disk(temporary / f"{name}.spacy")
            if jsonl:
                srsly.write_jsonl(temporary / f"{name}.jsonl", map(_as_json, texts))


def show_splits(splits: Mapping[str, Sequence[Text]], *, most: int = 40) -> None:
    """Print how many texts of each split carry each label.

    splits (Mapping[str, Sequence[Text]]): The texts by the name of their split.
    most (int): How many labels to show at most, the commonest first.
    """
    labels = sorted({label for texts in splits.values() for text in texts for label in text.cats})
    counts = {
        label: [
            sum(text.cats.get(label, 0.0) >= 0.5 for text in texts) for texts in splits.values()
        ]
        for label in labels
    }
    labels.sort(key=lambda label: (-sum(counts[label]), label))
    rows = [(label[:40], *counts[label]) for label in labels[:most]]
    if len(labels) > most:
        rows.append((f"and {len(labels) - most} more labels", *[""] * len(splits)))
    rows.append(("texts", *[len(texts) for texts in splits.values()]))
    aligns = ("l", *["r"] * len(splits))
    msg.table(rows, header=("label", *splits), divider=True, aligns=aligns)


def _as_json(text: Text) -> dict[str, object]:
    fields: dict[str, object] = {"text": text.text, "cats": dict(text.cats)}
    return fields if text.meta is None else {**fields, "meta": dict(text.meta)}
