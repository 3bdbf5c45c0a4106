"""Labels that a model gave to unlabelled texts (pseudo-labels), as a file without texts."""

import json
import math
from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import Any, NamedTuple

from .._files import atomic_path
from .._texts import text_key
from ..labels import validate_cats
from .label_log import digest_text

# The field of `Doc.user_data` that holds how much a document counts in training.
WEIGHT_FIELD = "weight"


class PseudoLabel(NamedTuple):
    """The labels that a model gave to a text.

    >>> PseudoLabel({"FOOD": 1.0}).weight
    1.0

    cats (dict[str, float]): The value of each label that is taken as known, 0..1.
    weight (float): How much the text counts in training, in labelled documents, 0 or more.
    """

    cats: dict[str, float]
    weight: float = 1.0


def text_digest(text: str) -> str:
    """Compute the digest by which a text finds its pseudo-label. Copies of a text, up to case and
    white space, have the same digest.

    >>> text_digest("Good soup.") == text_digest("good  SOUP.")
    True

    text (str): The text.
    RETURNS (str): 32 hexadecimal digits.
    """
    return digest_text(text_key(text))


def write_pseudo_labels(path: str | Path, labels: Mapping[str, PseudoLabel]) -> None:
    """Write pseudo-labels as JSON lines, whole or not at all. The file holds digests in place of
    texts: `spacy-embtune.unlabelled.v1` finds the texts in the file of the unlabelled texts.

    >>> from tempfile import TemporaryDirectory
    >>> labels = {text_digest("Good soup."): PseudoLabel({"FOOD": 1.0}, 0.5)}
    >>> with TemporaryDirectory() as directory:
    ...     path = Path(directory, "pseudo_labels.jsonl")
    ...     write_pseudo_labels(path, labels)
    ...     read_pseudo_labels(path) == labels
    True

    path (str | Path): The file. An older one is replaced.
    labels (Mapping[str, PseudoLabel]): The pseudo-labels by the digest of their text, see
        `text_digest`.
    RAISES (ValueError): If cats or a weight are invalid.
    RAISES (OSError): If the file cannot be written.
    """
    lines = []
    for digest, label in labels.items():
        row = {"text_digest": digest, "cats": label.cats, "weight": label.weight}
        _check(row, where=f"the pseudo-label of {digest}")
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    with atomic_path(Path(path)) as unfinished:
        unfinished.write_text("".join(lines), encoding="utf8")


def read_pseudo_labels(path: str | Path) -> dict[str, PseudoLabel]:
    """Read what `write_pseudo_labels` wrote.

    path (str | Path): The file.
    RETURNS (dict[str, PseudoLabel]): The pseudo-labels by the digest of their text.
    RAISES (ValueError): If there is no such file, or a line is invalid.
    """
    try:
        content = Path(path).read_text(encoding="utf8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path}: the pseudo-labels cannot be read ({error}). Give the file that "
            f"write_pseudo_labels wrote, or set pseudo_labels = null."
        ) from error
    labels: dict[str, PseudoLabel] = {}
    for i, line in enumerate(content.split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path}, line {i}"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{where}: is not JSON ({error}). Write the file again.") from error
        if not isinstance(row, dict) or not isinstance(row.get("text_digest"), str):
            raise ValueError(
                f"{where}: has no text_digest. Give a file of lines "
                '{"text_digest": ..., "cats": {...}, "weight": ...}.'
            )
        _check(row, where=where)
        if row["text_digest"] in labels:
            raise ValueError(
                f"{where}: the digest {row['text_digest']} is in the file twice. Remove one line."
            )
        labels[row["text_digest"]] = PseudoLabel(row["cats"], float(row.get("weight", 1.0)))
    return labels


def _check(row: Mapping[str, Any], *, where: str) -> None:
    """Check the cats and the weight of a pseudo-label.

    RAISES (ValueError): If they are invalid.
    """
    validate_cats(row.get("cats"), where=where)  # type: ignore[arg-type]
    check_weight(row.get("weight", 1.0), where=where)


def check_weight(weight: Any, *, where: str) -> float:
    """Check the weight of a document.

    >>> check_weight(2, where="document 'a1'")
    2.0

    weight (Any): The weight.
    where (str): The name of the document in the error message.
    RETURNS (float): The weight.
    RAISES (ValueError): If it is not a finite number of 0 or more.
    """
    is_number = isinstance(weight, Real) and not isinstance(weight, bool)
    if not is_number or not math.isfinite(float(weight)) or float(weight) < 0.0:
        raise ValueError(
            f"{where}: the weight is {weight!r}, a {type(weight).__name__}. Give a finite number "
            "of 0 or more: 0.5 counts the text as half a document."
        )
    return float(weight)
