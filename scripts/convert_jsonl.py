"""Make a corpus for `spacy train` of a JSONL file of texts with labels."""

import gzip
import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from corpus_io import Text, fold, rank, share_out, show_splits, write_corpus
from wasabi import msg

from spacy_embtune.labels import validate_cats

# Enough to see what is wrong with a file.
MOST_ERRORS = 5


def main(
    source: Annotated[
        Path,
        typer.Argument(metavar="FILE", help='JSON lines of {"text", "cats"}, plain or .gz'),
    ],
    out_dir: Annotated[
        Path, typer.Argument(help="Directory for train, dev, test", file_okay=False)
    ],
    dev: Annotated[
        Path | None, typer.Option(help="A file of your own for dev: nothing is split off for it")
    ] = None,
    dev_fraction: Annotated[float, typer.Option(help="Share of the texts for dev")] = 0.2,
    test_fraction: Annotated[float, typer.Option(help="Share of the texts for test")] = 0.0,
    skip_invalid: Annotated[
        bool, typer.Option("--skip-invalid", help="Leave invalid lines out, and count them")
    ] = False,
    seed: Annotated[int, typer.Option(help="Another seed makes another split")] = 0,
    lang: Annotated[str, typer.Option(help="Language of the tokenizer")] = "en",
) -> None:
    """Make train.spacy and dev.spacy (and test.spacy) of FILE.

    Each line has a "text" and "cats", a value of 0 to 1 for each label that is known of it; a label
    left out is unknown, not 0. The same input gives the same split, and texts that differ only in
    case and white space are on the same side.
    """
    try:
        texts = read_jsonl(source, skip_invalid=skip_invalid)
        own_dev = read_jsonl(dev, skip_invalid=skip_invalid) if dev else None
        splits = split_by_text(texts, own_dev, dev_fraction, test_fraction, seed)
        write_corpus(out_dir, splits, lang=lang)
    except (OSError, ValueError) as error:
        msg.fail("No corpus was written", str(error), exits=1)
    show_splits(splits)
    if own_dev and (dropped := len(texts) + len(own_dev) - sum(map(len, splits.values()))):
        msg.warn(f"Left out {dropped} texts of {source} that {dev} holds as well")
    if "test" not in splits and (out_dir / "test.spacy").exists():
        msg.warn(
            f"{out_dir / 'test.spacy'} is from an earlier run",
            "It may hold texts that are in train.spacy now. Remove it, or use --test-fraction.",
        )
    msg.good(f"Saved {', '.join(f'{name}.spacy' for name in splits)} to {out_dir}")


def read_jsonl(path: Path, *, skip_invalid: bool = False) -> list[Text]:
    """Read texts with labels. Blank lines are passed over.

    path (Path): The file, JSON lines in UTF-8, compressed if it is named .gz.
    skip_invalid (bool): Leave invalid lines out, and warn of them.
    RETURNS (list[Text]): The texts, at least one.
    RAISES (ValueError): If lines are invalid, or there is no text. OSError: if it cannot be read.
    """
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file. Give the path of a JSONL file.")
    texts, errors = [], []
    for number, line in enumerate(_lines(path), start=1):
        if line.strip():
            try:
                texts.append(parse_line(line, where=f"{path}, line {number}"))
            except ValueError as error:
                errors.append(str(error))
    shown = "\n".join(errors[:MOST_ERRORS])
    if len(errors) > MOST_ERRORS:
        shown += f"\nand {len(errors) - MOST_ERRORS} more invalid lines"
    if errors and not skip_invalid:
        raise ValueError(f"{shown}\nCorrect these lines, or leave them out with --skip-invalid.")
    if errors:
        msg.warn(f"Skipped {len(errors)} invalid lines", shown)
    if not texts:
        raise ValueError(
            f"{path}: holds no {'valid line' if errors else 'text'}. Give a file with lines such "
            'as {"text": "Kick-off at eight.", "cats": {"SPORT": 1.0, "MUSIC": 0.0}}'
        )
    return texts


def parse_line(line: bytes, *, where: str) -> Text:
    """Read one line.

    line (bytes): The line.
    where (str): What to call it in an error.
    RETURNS (Text): The text with what is known of its labels.
    RAISES (ValueError): If the line is invalid, with the cause and the cure.
    """
    try:
        # A byte order mark stands at the start of many files from Windows.
        entry = json.loads(line.decode("utf-8-sig"), object_pairs_hook=_object)
    except UnicodeDecodeError as error:
        raise ValueError(f"{where}: is not UTF-8 ({error}). Save the file as UTF-8.") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{where}: is not valid JSON ({error}). Write one object a line, strings in double "
            "quotes, line breaks in strings as \\n."
        ) from error
    except KeyError as error:
        raise ValueError(f"{where}: has the key {error} twice. Keep one of them.") from error
    if not isinstance(entry, dict):
        raise ValueError(
            f'{where}: is a {type(entry).__name__}. Write an object, {{"text": ..., "cats": ...}}.'
        )
    text = entry.get("text")
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f'{where}: the text is {text!r}. Give a non-empty string as "text".')
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{where}: the text holds half a character ({error}). Write characters beyond U+FFFF "
            "as they are, or as two \\u escapes."
        ) from error
    if "cats" not in entry:
        raise ValueError(
            f'{where}: has no "cats". Add them, {{}} if nothing is known of the labels.'
        )
    validate_cats(entry["cats"], where=where)
    return Text(text, {label: float(value) for label, value in entry["cats"].items()})


def split_by_text(
    texts: Sequence[Text],
    own_dev: Sequence[Text] | None,
    dev_fraction: float,
    test_fraction: float,
    seed: int,
) -> dict[str, list[Text]]:
    """Split so that equal texts are on one side, and each combination of labels in proportion.

    texts (Sequence[Text]): The texts.
    own_dev (Sequence[Text] | None): Texts for dev, of which no other split then holds any.
    dev_fraction (float): The share for dev, where there are none of its own.
    test_fraction (float): The share for test; without it there is no test.
    seed (int): Decides which texts go where.
    RETURNS (dict[str, list[Text]]): The texts of train, dev and perhaps test, in their order.
    RAISES (ValueError): If the fractions do not fit, or a split would be empty.
    """
    if own_dev is not None:
        dev_fraction = 0.0
    for name, fraction in (("dev", dev_fraction), ("test", test_fraction)):
        if not 0.0 <= fraction < 1.0:
            raise ValueError(f"--{name}-fraction is {fraction}. Give a number from 0 to below 1.")
    if dev_fraction + test_fraction >= 1.0:
        raise ValueError(
            f"--dev-fraction {dev_fraction} and --test-fraction {test_fraction} leave nothing for "
            "train. Give smaller ones."
        )
    in_dev = {fold(text.text) for text in own_dev or ()}
    combination: dict[str, str] = {}
    for text in texts:
        if (key := fold(text.text)) not in in_dev:
            combination.setdefault(key, json.dumps(sorted(text.cats.items())))
    keys = sorted(combination, key=lambda key: (combination[key], rank(seed, key)))
    in_test = share_out(keys, test_fraction)
    rest = [key for key in keys if key not in in_test]
    in_dev |= share_out(rest, dev_fraction / (1.0 - test_fraction))
    splits: dict[str, list[Text]] = {"train": [], "dev": list(own_dev or ())}
    if test_fraction:
        splits["test"] = []
    for text in texts:
        key = fold(text.text)
        if key in in_test:
            splits["test"].append(text)
        elif key not in in_dev:
            splits["train"].append(text)
        elif own_dev is None:
            splits["dev"].append(text)
    for name, part in splits.items():
        if not part:
            raise ValueError(
                f"Nothing is left for {name}: {len(combination)} distinct texts are too few. Give "
                "more texts, other fractions, or a file of their own for dev with --dev."
            )
    return splits


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield from file
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path}: is not a whole gzip file ({error}).") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entry: dict[str, Any] = {}
    for key, value in pairs:
        if key in entry:
            raise KeyError(key)
        entry[key] = value
    return entry


if __name__ == "__main__":
    typer.run(main)
