"""Files that are there whole or not at all."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# How the system says that there is no room: on the disk, in a quota, in a file of limited size.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class NoRoomError(OSError):
    """There is no room for a file, in words that say so."""


@contextmanager
def atomic_path(path: Path, *, within: Path | None = None) -> Iterator[Path]:
    """Let a file be written under another name, and give it its own when it is whole. If anything
    goes wrong before, Ctrl-C included, a file that was there stays as it was.

        with atomic_path(out) as unfinished:
            figure.savefig(unfinished)

    path (Path): The file. A link to a file stays a link.
    within (Path | None): A directory on the same disk for the unfinished file; None takes that of
        the file.
    YIELDS (Path): Where to write: under another name, with the same suffix.
    RAISES (NoRoomError): If there is no room. OSError: if it cannot be written.
    """
    real = Path(os.path.realpath(path))
    name = f".{real.stem}.{os.getpid()}.unfinished{real.suffix}"
    unfinished = (real.parent if within is None else within) / name
    try:
        with naming_full_disks(path):
            yield unfinished
            with unfinished.open("rb+") as file:
                # Otherwise the name may reach the disk before the contents do.
                os.fsync(file.fileno())
            os.replace(unfinished, real)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def naming_full_disks(path: Path) -> Iterator[None]:
    """Say in words that there is no room, and for what.

    path (Path): What is written.
    RAISES (NoRoomError): In place of the system's error that there is no room.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise NoRoomError(
            f"There is no room for {path} ({error.strerror}). Free some space, or write to another "
            "disk, and run the command again."
        ) from error
