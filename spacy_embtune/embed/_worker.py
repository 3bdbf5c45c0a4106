"""What runs on a worker of Ray. It imports no Ray, and torch only when it loads the pipeline."""

import os
import socket
from collections.abc import Mapping
from typing import Any

from ..data import InputPart, check_file
from ._packing import load_model
from ._shard_writer import Job, Shard, ShardWriter
from ._storage import open_storage
from ._versions import describe_difference, find_versions


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
        self._n_embedded = 0
        # Tokenizers and numpy read these when they are first used.
        for name in ("RAYON_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            os.environ[name] = str(n_threads)

    def describe(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): Where the worker runs: "host", "pid"."""
        return {"host": socket.gethostname(), "pid": os.getpid()}

    def check(
        self, versions: Mapping[str, str], out: str, marker: str, token: bytes, part: InputPart
    ) -> None:
        """Check that the worker computes what the driver would, and sees the same files.

        versions (Mapping[str, str]): The versions of the driver.
        out, marker, token: The address of OUT, a file in it, and what the driver wrote to it.
        part (InputPart): A part of the input.
        RAISES (ValueError): When versions differ, or OUT or the input is not seen.
        """
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

    def load(self, model: Any, job: Job, fingerprint: str) -> None:
        """Load the pipeline, once.

        model (bytes | str): What `pack_pipeline` gave, or a path that all machines see.
        job (Job): What all shards have in common.
        fingerprint (str): What the driver's pipeline is recognised by.
        RAISES (ValueError): When there is no such pipeline, or it is another one.
        """
        import torch

        torch.set_num_threads(self._n_threads)
        if self._uses_gpu:
            import spacy

            spacy.require_gpu(0)
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

    def start(self, checks: tuple[Any, ...], model: Any, job: Job, fingerprint: str) -> None:
        """Check, then load: what a worker does that replaces another one. The first argument are
        the arguments of `check`, the others those of `load`."""
        self.check(*checks)
        self.load(model, job, fingerprint)

    def embed(self, shard: Shard) -> dict[str, Any]:
        """Write a shard.

        shard (Shard): The shard.
        RETURNS (dict[str, Any]): Its entry, see `ShardWriter.write`.
        """
        assert self._writer is not None
        self._n_embedded = 0
        return self._writer.write(shard, self._count)

    def progress(self) -> int:
        """RETURNS (int): The number of texts of the current shard that are embedded."""
        return self._n_embedded

    def _count(self, n: int) -> None:
        self._n_embedded += n
