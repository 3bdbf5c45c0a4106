"""Write the parts of a corpus as .spacy files: all of them, or none."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from spacy.tokens import Doc, DocBin

from .._files import atomic_files
from ._record_docs import DOCS_SUFFIX


def write_parts(out_dir: Path, parts: Mapping[str, Iterable[Doc]]) -> list[Path]:
    """Write each part as NAME.spacy. After an error while a part is written, no file has changed,
    and a directory that did not exist does not exist.

    >>> import spacy
    >>> from tempfile import TemporaryDirectory
    >>> docs = [spacy.blank("en")("Good soup.")]
    >>> with TemporaryDirectory() as directory:
    ...     [path.name for path in write_parts(Path(directory, "out"), {"train": docs})]
    ['train.spacy']

    out_dir (Path): The directory. It is made if it does not exist.
    parts (Mapping[str, Iterable[Doc]]): The documents of each part, with their user data.
    RETURNS (list[Path]): The files.
    RAISES (OSError): If the files cannot be written.
    """
    with atomic_files(out_dir) as unfinished:
        for name, docs in parts.items():
            DocBin(docs=docs, store_user_data=True).to_disk(unfinished / f"{name}{DOCS_SUFFIX}")
    return [out_dir / f"{name}{DOCS_SUFFIX}" for name in parts]
