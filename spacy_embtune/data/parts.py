"""Write the parts of a corpus as .spacy files: all of them, or none."""

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from spacy.tokens import Doc, DocBin

from .._files import explain_full_disk
from ._record_docs import DOCS_SUFFIX


def write_parts(out_dir: Path, parts: Mapping[str, Iterable[Doc]]) -> list[Path]:
    """Write each part as NAME.spacy. After an error no file has changed, and a directory that did
    not exist does not exist.

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
    real = Path(os.path.realpath(out_dir))
    real.parent.mkdir(parents=True, exist_ok=True)
    unfinished = real.with_name(f".{real.name}.{os.getpid()}.unfinished")
    try:
        with explain_full_disk(out_dir):
            unfinished.mkdir()
            for name, docs in parts.items():
                DocBin(docs=docs, store_user_data=True).to_disk(unfinished / f"{name}{DOCS_SUFFIX}")
            if not real.exists():
                unfinished.rename(real)
            else:
                for path in sorted(unfinished.iterdir()):
                    os.replace(path, real / path.name)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return [out_dir / f"{name}{DOCS_SUFFIX}" for name in parts]
