"""Where shards are made: an engine takes shards and gives what became of each."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, Protocol

from spacy.language import Language

from .._files import NoRoomError
from ._same_columns import rewrite
from ._schemas import Columns
from ._shard_writer import Job, Shard, ShardWriter
from ._storage import Storage

logger = logging.getLogger(__name__)


class Outcome(NamedTuple):
    """What became of a shard.

    shard (Shard): The shard.
    entry (dict[str, Any] | None): Its entry, see `ShardWriter.write`. None after an error.
    error (str | None): What went wrong.
    """

    shard: Shard
    entry: dict[str, Any] | None
    error: str | None


class Engine(Protocol):
    """A place where shards are made."""

    def started(self, storage: Storage, shards: Sequence[Shard]) -> AbstractContextManager[object]:
        """Make the engine ready.

        storage (Storage): OUT.
        shards (Sequence[Shard]): The shards that are to be made.
        RETURNS (ContextManager): Within it, the engine runs.
        RAISES (ValueError): When the engine cannot be used.
        """

    def run(self, shards: Sequence[Shard], advance: Callable[[int], None]) -> Iterator[Outcome]:
        """Make shards.

        shards (Sequence[Shard]): The shards.
        advance (Callable): Called with the number of texts that were embedded since the last call.
        YIELDS (Outcome): What became of each shard, as soon as that is known.
        """

    def rewrite(
        self, entries: Sequence[dict[str, Any]], columns: Columns
    ) -> Iterator[dict[str, Any]]:
        """Write shards again with other columns, see `rewrite`.

        entries (Sequence[dict]): The entries of the shards.
        columns (Columns): The columns.
        YIELDS (dict[str, Any]): The new entry of each shard, in any order.
        RAISES (ValueError, OSError): When a shard cannot be written again.
        """


class LocalEngine:
    """Makes shards in this process, one after the other."""

    def __init__(self, nlp: Language, job: Job) -> None:
        self._writer = ShardWriter(nlp, job)

    def started(self, storage: Storage, shards: Sequence[Shard]) -> AbstractContextManager[object]:
        return nullcontext()

    def run(self, shards: Sequence[Shard], advance: Callable[[int], None]) -> Iterator[Outcome]:
        for shard in shards:
            try:
                outcome = Outcome(shard, self._writer.write(shard, advance), None)
            except NoRoomError:
                # The other shards would not have room either.
                raise
            except Exception as error:
                logger.debug("%s", shard.part.describe(), exc_info=True)
                outcome = Outcome(shard, None, describe_error(error))
            yield outcome

    def rewrite(
        self, entries: Sequence[dict[str, Any]], columns: Columns
    ) -> Iterator[dict[str, Any]]:
        for entry in entries:
            yield rewrite(self._writer.storage, entry, columns)


def describe_error(error: Exception) -> str:
    """RETURNS (str): An error in words. The class is named where the words may not be enough."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}."
    if isinstance(error, ValueError | OSError | ImportError) and str(error):
        return str(error)
    return f"{type(error).__name__}: {error}"
