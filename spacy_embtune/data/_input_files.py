"""Find the files that a directory, a pattern or an address stands for."""

import glob
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from .._texts import quote_some, shorten
from ._input_parts import new_digest
from ._remote import import_fsspec, is_address
from ._sources import STDIN
from .fields import FORMATS, find_kind, list_suffixes, resolve_kind

# Addresses of web pages: whether one is a directory cannot be asked for.
WEB = ("http://", "https://")
# What object stores call the tag of the contents of a file, from the most to the least reliable.
TAGS = ("md5Hash", "content_md5", "crc32c", "ETag", "etag")
# What tells that a file was changed.
VERSIONS = (*TAGS, "mtime", "LastModified", "modified", "created")
# Bytes of a file in memory while its digest is computed.
DIGESTED_BYTES = 2**20


class InputFile(NamedTuple):
    """One file of a corpus.

    address (str): Its path or address.
    name (str): Its path relative to the directory of the corpus, with "/".
    version (str): Its size and what tells that it was changed.
    """

    address: str
    name: str
    version: str


def is_corpus_of_files(data: str) -> bool:
    """Decide whether DATA stands for several files: a directory or a pattern.

    >>> is_corpus_of_files("corpus/*.jsonl"), is_corpus_of_files("corpus.jsonl")
    (True, False)

    data (str): A path, a pattern or an address.
    RETURNS (bool): Whether it is a directory, or a pattern that is no name of a file.
    RAISES (ValueError): If its server cannot be reached.
    """
    if is_address(data):
        if data.startswith(WEB):
            return False
        with _explain(data):
            files, path = _open_files(data)
            return bool(glob.has_magic(path) or files.isdir(path))
    return Path(data).is_dir() or (glob.has_magic(data) and not Path(data).exists())


def find_files(data: str, kind: str | None) -> tuple[list[InputFile], str]:
    """Find the files of a corpus, in the order of their names. Of a directory, files in directories
    below count as well. Files and directories whose names begin with "." or "_" are left out.

    data (str): A path, a directory, a pattern, or an address of one of these.
    kind (str | None): The format of the files. None: their suffixes decide.
    RETURNS (tuple[list[InputFile], str]): The files, and their format.
    RAISES (ValueError): If there is no file, or files have several formats.
    """
    if data == STDIN:
        raise ValueError(
            "Standard input cannot be divided into shards. Save it to a file, or give a file as "
            "OUT, such as vectors.parquet."
        )
    if not is_corpus_of_files(data):
        kind = resolve_kind(data, kind)
        return [_describe(data, data.rstrip("/").replace("\\", "/").rpartition("/")[2])], kind
    if kind is not None and kind not in FORMATS:
        raise ValueError(f"The kind {kind!r} is not one of {', '.join(FORMATS)}.")
    names = _list_remote(data) if is_address(data) else _list_local(data)
    visible = {
        name: address
        for name, address in names.items()
        if not any(part.startswith((".", "_")) for part in name.split("/"))
    }
    kinds = {name: find_kind(name) for name in visible}
    if kind is None:
        found = sorted({one for one in kinds.values() if one is not None})
        if len(found) > 1:
            raise ValueError(
                f"{data}: holds files of several formats ({', '.join(found)}). Name the one to "
                "read (--format), or give a pattern such as 'corpus/*.parquet'."
            )
        kind = found[0] if found else None
    chosen = [name for name in visible if kinds[name] == kind]
    if kind is None or not visible:
        raise ValueError(
            f"{data}: there is no file of records. Files that end in {list_suffixes()} are read, "
            "also compressed, but none whose name begins with . or _."
        )
    # A format that is named is also that of files whose names do not tell it.
    chosen = chosen or [name for name in visible if kinds[name] is None]
    if not chosen:
        raise ValueError(
            f"{data}: none of its files is {kind}: {quote_some(sorted(visible))}. Name another "
            "format (--format)."
        )
    check_installed = FORMATS[kind].check_installed
    if check_installed is not None:
        check_installed()
    return [_describe(visible[name], name) for name in chosen], kind


def find_version(address: str) -> str:
    """Find out which state of a file is there.

    address (str): The path or address of the file.
    RETURNS (str): Its size and what tells that it was changed: its time of modification, or the
        tag that an object store gives.
    RAISES (OSError): If there is no such file.
    RAISES (ValueError): If it is at an address and cannot be found.
    """
    if not is_address(address):
        status = os.stat(address)
        return f"{status.st_size}-{status.st_mtime_ns}"
    with _explain(address):
        files, path = _open_files(address)
        info = files.info(path)
        known = [str(info[key]) for key in VERSIONS if info.get(key)]
        return "-".join([str(info.get("size")), *known[:1]])


def find_digest(address: str) -> str:
    """Find out what the contents of a file are, so that a copy is recognised, and a change also if
    the size and the time stay the same. All bytes are read, unless an object store gives a tag of
    the contents. A sample of the bytes would not notice a change in one row.

    address (str): The path or address of the file.
    RETURNS (str): Its size and the tag, or the digest of its contents. A file that can be read only
        once, as a pipe, has its version.
    RAISES (OSError): If there is no such file, or it cannot be read.
    RAISES (ValueError): If it is at an address and cannot be read.
    """
    if not is_address(address):
        if not stat.S_ISREG(os.stat(address).st_mode):
            return find_version(address)
        with open(address, "rb") as file:
            return _digest(file)
    with _explain(address):
        files, path = _open_files(address)
        info = files.info(path)
        tags = [str(info[key]) for key in TAGS if info.get(key)]
        if tags:
            return f"{info.get('size')}-{tags[0]}"
        with files.open(path, "rb") as file:
            return _digest(file)


def _digest(file: IO[bytes]) -> str:
    digest = new_digest()
    while data := file.read(DIGESTED_BYTES):
        digest.update(data)
    return str(digest.hexdigest())


def _describe(address: str, name: str) -> InputFile:
    return InputFile(address, name, find_version(address))


def _list_local(data: str) -> dict[str, str]:
    """RETURNS (dict[str, str]): The paths of files by their names in a directory or pattern."""
    if Path(data).is_dir():
        root = Path(data)
        paths = [path for path in root.rglob("*") if path.is_file()]
    else:
        root = _root_of(data)
        paths = [path for path in map(Path, glob.glob(data, recursive=True)) if path.is_file()]
        if not paths:
            raise ValueError(f"{data}: no file matches this pattern. Check the spelling.")
    return {path.relative_to(root).as_posix(): str(path) for path in paths}


def _root_of(pattern: str) -> Path:
    """RETURNS (Path): The directory before the first part of a pattern that has magic."""
    parts = Path(pattern).parts
    fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[:fixed])


def _list_remote(data: str) -> dict[str, str]:
    """RETURNS (dict[str, str]): The addresses of files by their names."""
    with _explain(data):
        files, path = _open_files(data)
        path = path.rstrip("/")
        if glob.has_magic(path):
            before = path[: next(i for i, c in enumerate(path) if c in "*?[")]
            root = before.rpartition("/")[0]
            # Unlike `glob` of a directory, this gives no directories.
            paths = [found for found in files.glob(path) if not files.isdir(found)]
        else:
            root, paths = path, files.find(path)
        if not paths:
            raise ValueError(f"{data}: there is no such file. Check the spelling.")
        chain = data[: data.rfind("::") + 2] if "::" in data else ""
        return {
            found.removeprefix(root).lstrip("/"): chain + files.unstrip_protocol(found)
            for found in paths
        }


def _open_files(address: str) -> tuple[Any, str]:
    """RETURNS (tuple[AbstractFileSystem, str]): The file system of an address, without the lists of
    files that it remembers, and the path in it."""
    fsspec = import_fsspec()
    files, path = fsspec.core.url_to_fs(address)
    files.invalidate_cache()
    return files, path


@contextmanager
def _explain(address: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, ImportError):
        raise
    except FileNotFoundError as error:
        raise ValueError(
            f"{address}: there is no such file, or its server cannot be reached. Check the "
            "spelling and the connection."
        ) from error
    except Exception as error:
        # Each protocol has exceptions of its own, of no common class.
        raise ValueError(
            f"{address}: cannot be read ({type(error).__name__}: {shorten(str(error), 120)}). "
            "Check the address, the connection, and your right to read it."
        ) from error
