"""Make shards on the workers of Ray.

Each worker is an actor that loads the pipeline once and has one shard at a time, so that memory
does not grow with the corpus. A worker that is lost is replaced, and its shard is made again by
another one. Ray's own restarts are not used, because a shard would wait for a worker for which
there is no place any more.
"""

import os
import secrets
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from spacy.language import Language

from .._extras import import_extra
from .._texts import shorten
from ._engines import Outcome, describe_error
from ._packing import pack_pipeline
from ._shard_writer import Job, Shard, ShardWriter
from ._storage import Storage
from ._versions import find_versions
from ._worker import Worker

# How often a shard is tried: workers may die, and disks may be full, for other reasons.
MOST_TRIES = 3
# How many workers are replaced for each worker that was asked for.
MOST_REPLACED = 3
# Seconds between two questions for the progress of a shard.
SECONDS_BETWEEN = 1.0
# Seconds for a connection to the address of a cluster.
CONNECT_SECONDS = 10.0


class RayOptions(NamedTuple):
    """Which cluster is used, and how many workers.

    >>> RayOptions(workers=4).cpus_per_worker
    1

    address (str | None): The address of the cluster, such as "10.0.0.1:6379", "ray://host:10001" or
        "auto". None: what the variable RAY_ADDRESS says, or a cluster of this machine alone.
    workers (int | None): The number of workers. None: as many as the cluster has room for.
    gpus_per_worker (float): GPUs, or a share of one, for each worker.
    cpus_per_worker (int): Processors for each worker, which computes with as many threads.
    wait (float): Seconds to wait for the cluster, and for its workers.
    model_path (str | None): The directory of the pipeline that all machines see. None: the pipeline
        is sent to the workers.
    code (str | None): Python code with functions that the config of the pipeline names.
    """

    address: str | None = None
    workers: int | None = None
    gpus_per_worker: float = 0
    cpus_per_worker: int = 1
    wait: float = 60.0
    model_path: str | None = None
    code: str | None = None


class _Actor:
    """A worker, as the driver sees it.

    handle (Any): Ray's handle.
    shard (Shard | None): The shard that it makes.
    task (Any): The result of what it does now, as Ray refers to it.
    """

    def __init__(self, handle: Any) -> None:
        self.handle = handle
        self.shard: Shard | None = None
        self.task: Any = None
        self.question: Any = None
        self.n_counted = 0


class RayEngine:
    """Makes shards on the workers of Ray."""

    def __init__(self, nlp: Language, job: Job, options: RayOptions) -> None:
        """Initialize the engine, without connecting.

        nlp (Language): The pipeline.
        job (Job): What all shards have in common.
        options (RayOptions): Which cluster, and how many workers.
        RAISES (ImportError): When Ray is not installed. The message names the extra.
        RAISES (ValueError): When an option is not valid.
        """
        self._ray = import_extra("ray", "--engine ray needs Ray", extra="ray")
        if options.workers is not None and options.workers < 1:
            raise ValueError(f"The number of workers is {options.workers}: give at least 1.")
        if options.cpus_per_worker < 1 or options.gpus_per_worker < 0:
            raise ValueError("A worker needs at least 1 processor, and no fewer than 0 GPUs.")
        self._nlp = nlp
        self._job = job
        self._options = options
        self._fingerprint = ShardWriter(nlp, job).identify()
        self._actors: list[_Actor] = []
        self._checks: tuple[Any, ...] = ()
        self._model: Any = None
        self._n_replaced = 0
        self._tries: dict[str, int] = {}

    @contextmanager
    def started(self, storage: Storage, shards: Sequence[Shard]) -> Iterator[None]:
        """Connect to the cluster, start the workers, and check what they see."""
        with _connected(self._ray, self._options):
            marker, token = f"_marker-{secrets.token_hex(8)}", secrets.token_bytes(16)
            storage.write(marker, token)
            try:
                self._start(storage, marker, token, shards)
                yield
            finally:
                with suppress(OSError):
                    storage.remove(marker)
                for actor in self._actors:
                    self._kill(actor)

    def _start(
        self, storage: Storage, marker: str, token: bytes, shards: Sequence[Shard]
    ) -> None:
        ray, options = self._ray, self._options
        n = min(self._choose_number(), len(shards))
        self._checks = (find_versions(), storage.address, marker, token, shards[0].part)
        self._model = options.model_path or ray.put(pack_pipeline(self._nlp, options.code))
        self._actors = [self._make_actor() for _ in range(n)]
        tasks = [actor.handle.describe.remote() for actor in self._actors]
        ready, waiting = ray.wait(tasks, num_returns=n, timeout=options.wait)
        self._raise_first(ready)
        if waiting:
            raise ValueError(
                f"{n} workers with {self._needs()} each were asked for, but {len(ready)} had "
                f"started after {options.wait:g} s. {self._describe_cluster()} Ask for fewer "
                "(--workers, --cpus-per-worker, --gpus-per-worker), or wait longer (--wait)."
            )
        self._raise_first([actor.handle.check.remote(*self._checks) for actor in self._actors])
        self._raise_first([self._load(actor) for actor in self._actors])

    def _choose_number(self) -> int:
        """RETURNS (int): The number of workers. RAISES (ValueError): When the cluster has no room
        for one."""
        options = self._options
        if options.workers is not None:
            return options.workers
        deadline = time.monotonic() + options.wait
        while True:
            there = self._ray.cluster_resources()
            n = int(there.get("CPU", 0) // options.cpus_per_worker)
            if options.gpus_per_worker:
                n = min(n, int(there.get("GPU", 0) / options.gpus_per_worker))
            if n:
                return n
            if time.monotonic() > deadline:
                raise ValueError(
                    f"The cluster has no room for a worker with {self._needs()}. "
                    f"{self._describe_cluster()} Ask for less (--cpus-per-worker, "
                    "--gpus-per-worker)."
                )
            time.sleep(0.5)

    def _needs(self) -> str:
        options = self._options
        gpus = f" and {options.gpus_per_worker:g} GPUs" if options.gpus_per_worker else ""
        return f"{options.cpus_per_worker} CPUs{gpus}"

    def _describe_cluster(self) -> str:
        there, free = self._ray.cluster_resources(), self._ray.available_resources()
        return (
            f"The cluster has {there.get('CPU', 0):g} CPUs ({free.get('CPU', 0):g} free) and "
            f"{there.get('GPU', 0):g} GPUs ({free.get('GPU', 0):g} free)."
        )

    def _make_actor(self) -> _Actor:
        options = self._options
        # Two threads: one makes a shard, the other tells how far it is.
        made = self._ray.remote(Worker).options(
            num_cpus=options.cpus_per_worker,
            num_gpus=options.gpus_per_worker,
            max_restarts=0,
            max_task_retries=0,
            max_concurrency=2,
        )
        return _Actor(
            made.remote(options.cpus_per_worker, uses_gpu=options.gpus_per_worker > 0)
        )

    def _load(self, actor: _Actor) -> Any:
        return actor.handle.load.remote(self._model, self._job, self._fingerprint)

    def _raise_first(self, tasks: Sequence[Any]) -> None:
        """RAISES (ValueError): The first error of some tasks."""
        try:
            self._ray.get(list(tasks))
        except self._ray.exceptions.RayTaskError as error:
            cause = error.cause
            raise ValueError(describe_error(cause)) from cause
        except self._ray.exceptions.RayError as error:
            raise ValueError(
                f"A worker could not be started: {shorten(str(error), 500)} Look whether "
                "spacy-embtune is installed on all machines of the cluster."
            ) from error

    def run(self, shards: Sequence[Shard], advance: Callable[[int], None]) -> Iterator[Outcome]:
        """Make shards, see `Engine`. Errors of a shard are final, unless its worker died or could
        not write: it is then tried again, if possible by another worker."""
        waiting = deque(shards)
        idle, busy, starting = list(self._actors), [], []  # type: ignore[var-annotated]
        # The workers that could not write a shard.
        failed_on: dict[str, set[int]] = {}
        last_alive = time.monotonic()
        while waiting or busy:
            for actor in list(idle):
                shard = self._choose(waiting, failed_on, actor, is_only=len(self._actors) == 1)
                if shard is None:
                    break
                idle.remove(actor)
                busy.append(actor)
                actor.shard, actor.n_counted, actor.question = shard, 0, None
                actor.task = actor.handle.embed.remote(shard)
            tasks = {actor.task: actor for actor in [*busy, *starting]}
            done = []
            if tasks:
                done, _ = self._ray.wait(list(tasks), num_returns=1, timeout=SECONDS_BETWEEN)
            else:
                time.sleep(SECONDS_BETWEEN)
            for task in done:
                actor = tasks[task]
                (busy if actor in busy else starting).remove(actor)
                shard, actor.shard = actor.shard, None
                try:
                    result = self._ray.get(task)
                except self._ray.exceptions.RayTaskError as error:
                    idle.append(actor)
                    assert shard is not None
                    cause = error.cause
                    if isinstance(cause, OSError) and self._may_try(shard):
                        failed_on.setdefault(shard.name, set()).add(id(actor))
                        waiting.append(shard)
                    else:
                        yield Outcome(shard, None, describe_error(cause))
                except self._ray.exceptions.RayError as error:
                    starting += self._replace(actor)
                    if shard is None:
                        continue
                    if self._may_try(shard):
                        waiting.appendleft(shard)
                    else:
                        text = shorten(str(error), 300)
                        yield Outcome(
                            shard, None, f"its worker died {MOST_TRIES} times: {text}"
                        )
                else:
                    idle.append(actor)
                    if shard is not None:
                        if not result["kept"]:
                            advance(max(result["n"] - actor.n_counted, 0))
                        yield Outcome(shard, result, None)
            self._ask(busy, advance)
            if busy or idle:
                last_alive = time.monotonic()
            elif time.monotonic() - last_alive > self._options.wait:
                raise ValueError(
                    f"All workers are lost, and none has started again in "
                    f"{self._options.wait:g} s. {self._describe_cluster()} Start the same command "
                    "again when the cluster has room."
                )

    def _choose(
        self,
        waiting: "deque[Shard]",
        failed_on: dict[str, set[int]],
        actor: _Actor,
        *,
        is_only: bool,
    ) -> Shard | None:
        """RETURNS (Shard | None): The next shard, if possible one that this worker has not failed
        on; None if there is none."""
        for shard in waiting:
            if is_only or id(actor) not in failed_on.get(shard.name, ()):
                waiting.remove(shard)
                return shard
        others = {id(one) for one in self._actors} - {id(actor)}
        for shard in waiting:
            if others <= failed_on[shard.name]:
                waiting.remove(shard)
                return shard
        return None

    def _may_try(self, shard: Shard) -> bool:
        self._tries[shard.name] = self._tries.get(shard.name, 0) + 1
        return self._tries[shard.name] < MOST_TRIES

    def _replace(self, actor: _Actor) -> list[_Actor]:
        """RETURNS (list[_Actor]): A worker in place of one that is lost, which is starting; none if
        too many were lost."""
        self._kill(actor)
        self._actors.remove(actor)
        if self._n_replaced >= MOST_REPLACED * (len(self._actors) + 1):
            if self._actors:
                return []
            raise ValueError(
                f"{self._n_replaced + 1} workers died. They may need more memory than the machines "
                "have: ask for fewer (--workers), or look into the logs of Ray."
            )
        self._n_replaced += 1
        new = self._make_actor()
        # Tasks of an actor run in their order only if it has one thread.
        new.task = new.handle.start.remote(
            self._checks, self._model, self._job, self._fingerprint
        )
        self._actors.append(new)
        return [new]

    def _ask(self, busy: Sequence[_Actor], advance: Callable[[int], None]) -> None:
        """Count the texts that are embedded of shards that are not finished."""
        for actor in busy:
            if actor.question is None:
                actor.question = actor.handle.progress.remote()
                continue
            answered, _ = self._ray.wait([actor.question], timeout=0)
            if answered:
                with suppress(self._ray.exceptions.RayError):
                    n = self._ray.get(actor.question)
                    advance(max(n - actor.n_counted, 0))
                    actor.n_counted = max(n, actor.n_counted)
                actor.question = None

    def _kill(self, actor: _Actor) -> None:
        with suppress(Exception):
            self._ray.kill(actor.handle)


@contextmanager
def _connected(ray: Any, options: RayOptions) -> Iterator[None]:
    """Connect to a cluster, unless this process is connected already."""
    if ray.is_initialized():
        yield
        return
    address = options.address or os.environ.get("RAY_ADDRESS")
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address in (None, "local"):
        address = "local"
        # Nothing of this machine is shown to others, and nothing is reported to Ray's makers.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        settings |= {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    elif address != "auto":
        _check_reachable(str(address), options.wait)
    try:
        ray.init(address=address, **settings)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        raise ValueError(
            f"The cluster {address} cannot be used ({shorten(str(error), 500)}). Look whether it "
            "runs (ray status), and whether Python and Ray have the same versions there."
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _check_reachable(address: str, wait: float) -> None:
    """Find out in bounded time whether there is a cluster at an address. Ray itself would try again
    and again, and may end the process.

    RAISES (ValueError): When there is none.
    """
    cure = "Check the address, and whether the cluster runs (ray status)."
    host, _, port = address.removeprefix("ray://").partition("/")[0].rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(
            f"The address {address!r} is not valid. Give HOST:PORT, ray://HOST:PORT or auto."
        )
    try:
        with socket.create_connection((host, int(port)), timeout=min(wait, CONNECT_SECONDS)):
            pass
    except (OSError, OverflowError) as error:
        raise ValueError(
            f"The cluster {address} cannot be reached ({error}). {cure}"
        ) from error
    trial = f"import ray; ray.init(address={address!r}, log_to_driver=False)"
    try:
        run = subprocess.run(
            [sys.executable, "-c", trial],
            timeout=wait,
            capture_output=True,
            text=True,
            cwd=Path.home(),
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ValueError(
            f"The cluster {address} does not answer within {wait:g} s (--wait). {cure}"
        ) from error
    if run.returncode:
        lines = [line for line in run.stderr.strip().splitlines() if line.strip()]
        said = shorten(lines[-1], 500) if lines else f"code {run.returncode}"
        raise ValueError(f"The cluster {address} cannot be used ({said}). {cure}")
