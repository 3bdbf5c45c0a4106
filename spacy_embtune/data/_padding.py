"""Bytes at the end of files of text that are not part of the text."""

import io
import logging
from typing import IO, Any

logger = logging.getLogger(__name__)

# NUL, with which file systems and tapes fill the rest of a block, and Ctrl-Z, with which programs
# of DOS mark the end of a text.
PADDING = b"\0\x1a"
# More bytes of padding than this are taken for a file that is not text.
LONGEST_PADDING = 1 << 20


def unit_of(encoding: str) -> int:
    """RETURNS (int): The number of bytes of a character of the Latin alphabet in an encoding."""
    for name, width in (("16", 2), ("32", 4)):
        if encoding.replace("_", "-").lower().startswith((f"utf-{name}", f"utf{name}")):
            return width
    return 1


class Unpadded(io.RawIOBase):
    """A stream without the padding at its end. Closing it does not close the stream it reads."""

    def __init__(self, name: str, stream: IO[bytes], unit: int) -> None:
        """Initialize the stream.

        name (str): The name of the file, for a warning.
        stream (IO[bytes]): The bytes.
        unit (int): The number of bytes of a character.
        """
        self._name = name
        self._stream: Any = stream
        self._unit = unit
        self._held = b""
        self._ready = b""
        self._n_given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            data = self._stream.read1(max(len(buffer), 1))
            if not data:
                self._ready, self._held = self._end_of_text(), b""
                if not self._ready:
                    return 0
                break
            data = self._held + data
            n_text = len(data.rstrip(PADDING))
            if len(data) - n_text > LONGEST_PADDING:
                n_text = len(data)
            self._ready, self._held = data[:n_text], data[n_text:]
        given = self._ready[: len(buffer)]
        self._ready = self._ready[len(buffer) :]
        buffer[: len(given)] = given
        self._n_given += len(given)
        return len(given)

    def _end_of_text(self) -> bytes:
        """RETURNS (bytes): The first bytes of the padding that belong to the last character."""
        n_text = -self._n_given % self._unit
        padding = self._held[n_text:]
        if b"\0" in padding and self._unit == 1:
            logger.warning(
                "%s: ends with %s, which are ignored. If a computer crashed while the file was "
                "written, its end may be missing.",
                self._name,
                f"{padding.count(0):,} NUL characters",
            )
        return self._held[:n_text]
