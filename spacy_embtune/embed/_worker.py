"""What runs on a worker of Ray. It imports no Ray, and torch only when it loads the pipeline."""

import logging
import os
import socket
from collections.abc import Mapping
from typing import Any

from .._files import NoRoomError
from ..data import InputPart, check_file
from ._engines import describe_error
from ._packing import load_model, run_code
from ._same_columns import rewrite
from ._schemas import Columns
from ._shard_writer import Job, Shard, ShardWriter
from ._storage import open_storage
from ._versions import describe_difference, find_versions

logger = logging.getLogger(__name__)

DISK_FULL = "no room"


class Worker:
    """Holds one pipeline, and writes shards with it."""

    def __init__(self, n_threads: int, *, uses_gpu: bool) -> None:
        """Initialize the worker, without loading anything.

        n_threads (int): Threads that it computes with.
        uses_gpu (bool): Whether it computes on a GPU.
        """
        self._n_threads = n_threads
        self._uses_gpu = uses_gpu
        self._writer: ShardWriter | None = None
        self._state = ("", 0)
        # Tokenizers and numpy read these when they are first used.
        for name in ("RAYON_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            os.environ[name] = str(n_threads)

    def describe(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): Where the worker runs: "host", "pid"."""
        return {"host": socket.gethostname(), "pid": os.getpid()}

    def start(
        self,
        versions: Mapping[str, str],
        job: Job,
        marker: str,
        token: bytes,
        part: InputPart,
        model: Any,
        code: str | None,
        fingerprint: str,
    ) -> None:
        """Check that the worker would compute what the driver would, and load the pipeline once.

        versions (Mapping[str, str]): The versions of the driver.
        job (Job): What all shards have in common.
        marker, token: A file in OUT, and what the driver wrote to it.
        part (InputPart): A part of the input.
        model (bytes | str): What `pack_pipeline` gave, or a path that all machines see.
        code (str | None): Python code with functions that the config names.
        fingerprint (str): What the driver's pipeline is recognised by.
        RAISES (ValueError): When versions differ, OUT, the input or the pipeline is not seen, or it
            is another pipeline.
        """
        self._check(versions, job.out, marker, token, part)
        if code is not None:
            run_code(code)
        self._load(model, job, fingerprint)

    def _check(
        self, versions: Mapping[str, str], out: str, marker: str, token: bytes, part: InputPart
    ) -> None:
        host = socket.gethostname()
        difference = describe_difference(versions, find_versions())
        if difference:
            raise ValueError(
                f"The worker on {host} has other versions than this process, so its vectors would "
                f"differ: {difference}. Install the same versions on all machines."
            )
        try:
            found = open_storage(out).read(marker)
        except (OSError, ImportError, ValueError) as error:
            raise ValueError(f"The worker on {host} cannot use {out}: {error}") from error
        if found != token:
            raise ValueError(
                f"The worker on {host} does not see {out}, where this process has just written "
                f"the file {marker}. Give a directory that all machines share, or an address such "
                "as s3://bucket/vectors/."
            )
        try:
            check_file(part)
        except (OSError, ValueError, ImportError) as error:
            raise ValueError(
                f"The worker on {host} does not see {part.address} as this process does: {error} "
                "Give DATA that all machines share."
            ) from error

    def _load(self, model: Any, job: Job, fingerprint: str) -> None:
        import torch

        torch.set_num_threads(self._n_threads)
        if self._uses_gpu:
            from thinc.api import require_gpu

            require_gpu(0)
        try:
            nlp = load_model(model)
        except (OSError, ImportError) as error:
            raise ValueError(
                f"The worker on {socket.gethostname()} cannot load the pipeline: {error} Leave out "
                "--shared-model, so that the pipeline is sent to it."
            ) from error
        writer = ShardWriter(nlp, job)
        if writer.identify() != fingerprint:
            raise ValueError(
                f"The worker on {socket.gethostname()} has another pipeline at {model}. Copy the "
                "same one to all machines, or leave out --shared-model."
            )
        self._writer = writer

    def embed(self, shard: Shard) -> tuple[dict[str, Any] | None, str, str]:
        """Write a shard.

        shard (Shard): The shard.
        RETURNS (tuple[dict[str, Any] | None, str, str]): Its entry, see `ShardWriter.write`; or
            what went wrong in words, and its kind: "input", "storage" or `DISK_FULL`.
        """
        assert self._writer is not None
        # One tuple, because another thread reads it.
        self._state = (shard.name, 0)
        try:
            return self._writer.write(shard, self._count), "", ""
        except NoRoomError as error:
            return None, str(error), DISK_FULL
        except Exception as error:
            logger.debug("%s", shard.part.describe(), exc_info=True)
            # What the network or a disk did may not happen again.
            kind = "storage" if isinstance(error, OSError) else "input"
            return None, describe_error(error), kind

    def rewrite(self, entry: dict[str, Any], columns: Columns) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): The new entry of a shard that was written again, see
        `rewrite`."""
        assert self._writer is not None
        return rewrite(self._writer.storage, entry, columns)

    def progress(self) -> tuple[str, int]:
        """RETURNS (tuple[str, int]): The name of the last shard, and the number of its texts that
        are embedded."""
        return self._state

    def _count(self, n: int) -> None:
        name, n_before = self._state
        self._state = (name, n_before + n)
