"""Make shards on the workers of a Ray cluster.

Each worker is an actor that loads the pipeline once and makes one shard at a time. The driver holds
names and counts only. A worker that is lost gives its shard back.
"""

import logging
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from spacy.language import Language

from .._files import NoRoomError
from ._cluster import connected, import_ray
from ._engines import Outcome
from ._packing import pack_pipeline
from ._same_columns import rewrite
from ._schemas import Columns
from ._shard_writer import Job, Shard, ShardWriter
from ._storage import MARKER, Storage
from ._versions import find_versions
from ._worker import DISK_FULL, Worker

logger = logging.getLogger(__name__)

# A shard that ends so many workers is reported, not tried again.
MOST_TRIES = 3
# After so many workers in a row that could not start, no other is started in their place.
MOST_FAILED_STARTS = 3
# Seconds between two looks at how many texts the workers have embedded.
INTERVAL = 0.5
# Bytes of the object store of a cluster that this process starts, beside two of the pipeline.
STORE_BYTES = 2**27


class RayOptions(NamedTuple):
    """Which cluster is used, and how much of it.

    >>> RayOptions(workers=4).cpus_per_worker
    1.0

    address (str | None): The address of the head, "HOST:PORT". "auto": that of the variable
        RAY_ADDRESS, or of the cluster of this machine. None: that of RAY_ADDRESS; without it, a
        cluster of this machine alone is started, and stopped at the end. A process that is
        connected already stays so.
    workers (int | None): The number of workers. None: as many as fit into the cluster now.
    cpus_per_worker (float): The cores of each, and, rounded down, its threads.
    gpus_per_worker (float): The GPUs of each, also a share of one. 0: it computes on the CPU.
    shared_model (str | None): The path of the pipeline, or the name of an installed one, on all
        machines. None: the driver sends its pipeline to the workers.
    code (str | None): Python code that workers run before they load the pipeline, as spaCy's option
        --code does.
    wait (float): Seconds to wait for the cluster, and for workers that do not fit into it yet.
    """

    address: str | None = None
    workers: int | None = None
    cpus_per_worker: float = 1.0
    gpus_per_worker: float = 0.0
    shared_model: str | None = None
    code: str | None = None
    wait: float = 60.0


class _Hand:
    """The driver's view of one worker.

    actor (ActorHandle): The worker.
    placed (ObjectRef): Is ready when the worker has a place in the cluster.
    task (ObjectRef): What the worker does now: it starts, or it makes a shard.
    shard (Shard | None): The shard that it makes.
    n_embedded (int): The texts of that shard that it has embedded, as far as is known.
    count (ObjectRef | None): The answer to the last question for that number.
    deadline (float): When a worker without a place is given up.
    """

    def __init__(self, actor: Any, placed: Any, task: Any, deadline: float) -> None:
        self.actor = actor
        self.placed = placed
        self.task = task
        self.shard: Shard | None = None
        self.n_embedded = 0
        self.count: Any = None
        self.deadline = deadline


class RayEngine:
    """Makes shards on workers of Ray."""

    def __init__(self, nlp: Language, job: Job, options: RayOptions) -> None:
        """Initialize the engine, without connecting.

        nlp (Language): The pipeline.
        job (Job): What all shards have in common.
        options (RayOptions): The cluster.
        RAISES (ImportError): When Ray is missing.
        RAISES (ValueError): When an option is invalid.
        """
        _check_options(options)
        self._ray = import_ray()
        self._job = job
        self._options = options
        self._nlp = nlp
        self._fingerprint = ShardWriter(nlp, job).identify()
        self._hands: list[_Hand] = []
        self._start: Callable[[], _Hand]
        self._storage: Storage
        self._n_failed_starts = 0
        self._reason = ""

    @contextmanager
    def started(self, storage: Storage, shards: Sequence[Shard]) -> Iterator[None]:
        ray, options = self._ray, self._options
        self._storage = storage
        model: Any = options.shared_model or pack_pipeline(self._nlp)
        size = len(model) if isinstance(model, bytes) else 0
        marker, token = f"{MARKER}{uuid.uuid4().hex}", uuid.uuid4().bytes
        with connected(ray, options.address, STORE_BYTES + 2 * size, options.wait):
            model = model if options.shared_model else ray.put(model)
            n_threads = max(int(options.cpus_per_worker), 1)
            actor_class = ray.remote(
                num_cpus=options.cpus_per_worker,
                num_gpus=options.gpus_per_worker,
                max_restarts=0,
                concurrency_groups={"progress": 1},
                scheduling_strategy="SPREAD",
            )(Worker)

            def start() -> _Hand:
                actor = actor_class.remote(n_threads, uses_gpu=options.gpus_per_worker > 0)
                placed = actor.describe.remote()
                task = actor.start.remote(
                    find_versions(),
                    self._job,
                    marker,
                    token,
                    shards[0].part,
                    model,
                    options.code,
                    self._fingerprint,
                )
                return _Hand(actor, placed, task, time.monotonic() + options.wait)

            self._start = start
            try:
                storage.write(marker, token)
                self._start_all(min(options.workers or self._count_places(), len(shards)))
                yield
            finally:
                for hand in [*self._hands]:
                    self._dismiss(hand)
                storage.remove(marker)

    def _count_places(self) -> int:
        """RETURNS (int): How many workers fit into the cluster beside what runs there now, at least
        1. The room that is free may be spread over machines, so fewer may find a place."""
        options, ray = self._options, self._ray
        needs = {"CPU": options.cpus_per_worker, "GPU": options.gpus_per_worker}

        def fit(has: Mapping[str, float], most: int) -> int:
            counts = (int(has.get(kind, 0) // each) for kind, each in needs.items() if each)
            return min(counts, default=most)

        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        n = sum(fit(has, 1) for has in nodes)
        return max(min(n, fit(ray.available_resources(), n)), 1)

    def _start_all(self, n: int) -> None:
        """Start workers, and wait until each has a place and has loaded the pipeline. Those without
        a place are left out, unless their number was asked for.

        n (int): How many.
        RAISES (ValueError): When the cluster has no place for all that were asked for, or for any,
            or a worker cannot start.
        """
        ray = self._ray
        self._hands = [self._start() for _ in range(n)]
        places = [hand.placed for hand in self._hands]
        placed, missing = ray.wait(places, num_returns=n, timeout=self._options.wait)
        if missing and (self._options.workers is not None or not placed):
            raise ValueError(self._describe_shortage(len(placed), n))
        for hand in [hand for hand in self._hands if hand.placed in missing]:
            self._dismiss(hand)
        for hand in self._hands:
            try:
                ray.get(hand.task)
            except ray.exceptions.RayError as error:
                raise ValueError(_describe(ray, error)) from error
            hand.task = None

    def _describe_shortage(self, n_placed: int, n: int) -> str:
        options, ray = self._options, self._ray
        total, free = ray.cluster_resources(), ray.available_resources()
        has = " and ".join(
            f"{total.get(kind, 0):g} {kind}s ({free.get(kind, 0):g} not in use)"
            for kind in ("CPU", "GPU")
        )
        n_machines = sum(node["Alive"] for node in ray.nodes())
        each = f"{options.cpus_per_worker:g} CPUs and {options.gpus_per_worker:g} GPUs"
        return (
            f"{n} workers with {each} each are asked for, but after {options.wait:g} seconds "
            f"{n_placed} had started. The cluster has {n_machines} machines with {has} together. "
            "Give fewer workers (--workers) or less to each (--cpus-per-worker, "
            "--gpus-per-worker), add machines, or wait longer (--wait)."
        )

    def run(self, shards: Sequence[Shard], advance: Callable[[int], None]) -> Iterator[Outcome]:
        ray = self._ray
        waiting, n_tries = deque(shards), Counter[str]()
        n_wanted = len(self._hands)
        while waiting or any(hand.shard for hand in self._hands):
            for hand in self._hands:
                if hand.task is None and waiting:
                    hand.shard = waiting.popleft()
                    hand.task, hand.n_embedded = hand.actor.embed.remote(hand.shard), 0
            n_missing = min(n_wanted, len(waiting) + len(self._hands)) - len(self._hands)
            if n_missing > 0 and self._n_failed_starts < MOST_FAILED_STARTS:
                self._hands += [self._start() for _ in range(n_missing)]
            if not self._hands:
                raise ValueError(
                    f"All workers are lost, and no other could start. {self._reason} When the "
                    "cause is removed, start the same command again."
                )
            by_task = {hand.task: hand for hand in self._hands if hand.task is not None}
            done, _ = ray.wait(list(by_task), num_returns=1, timeout=INTERVAL)
            for task in done:
                hand = by_task[task]
                shard, hand.shard, hand.task = hand.shard, None, None
                if shard is None:
                    self._finish_start(hand, task)
                else:
                    yield from self._finish(hand, task, shard, waiting, n_tries, advance)
            self._give_up_late()
            self._count(advance)

    def _finish_start(self, hand: _Hand, task: Any) -> None:
        """Find out whether a worker that takes the place of a lost one has started."""
        try:
            self._ray.get(task)
            self._n_failed_starts = 0
        except self._ray.exceptions.RayError as error:
            self._fail_start(hand, _describe(self._ray, error))

    def _fail_start(self, hand: _Hand, reason: str) -> None:
        self._n_failed_starts += 1
        self._reason = reason
        logger.warning("A worker could not start: %s", reason)
        self._dismiss(hand)

    def _give_up_late(self) -> None:
        """Give up workers that got no place in time, as after the loss of a machine."""
        late = [h for h in self._hands if h.deadline < time.monotonic() and h.task is not None]
        for hand in late:
            if hand.shard is None and not self._ray.wait([hand.placed], timeout=0)[0]:
                n = len(self._hands)
                # The cluster is too small now. Another try would not find more.
                self._n_failed_starts = MOST_FAILED_STARTS - 1
                self._fail_start(hand, self._describe_shortage(n - 1, n))

    def _finish(
        self,
        hand: _Hand,
        task: Any,
        shard: Shard,
        waiting: deque[Shard],
        n_tries: Counter[str],
        advance: Callable[[int], None],
    ) -> Iterator[Outcome]:
        """Find out what became of a shard, and put it back if its worker was lost.

        YIELDS (Outcome): What became of it, if that is known.
        """
        ray = self._ray
        n_shown, hand.n_embedded, hand.count = hand.n_embedded, 0, None
        try:
            entry, error, kind = ray.get(task)
        except ray.exceptions.RayError as lost:
            entry, error, kind = None, _describe(ray, lost), "lost"
        if entry is not None:
            advance((0 if entry["kept"] else entry["n"]) - n_shown)
            yield Outcome(shard, entry, None)
            return
        advance(-n_shown)
        if kind == "input":
            yield Outcome(shard, None, error)
            return
        n_tries[shard.name] += 1
        if kind == DISK_FULL:
            self._dismiss(hand)
            self._reason = error
            if not self._hands:
                raise NoRoomError(error)
            # The disk of this worker is full. Those of others may not be.
            logger.warning("A worker has no room and is not used any more: %s", error)
            self._n_failed_starts = MOST_FAILED_STARTS
            waiting.appendleft(shard)
            return
        if kind == "lost":
            self._dismiss(hand)
        if n_tries[shard.name] < MOST_TRIES:
            logger.warning("%s is tried again: %s", shard.part.describe(), error)
            waiting.append(shard)
            return
        yield Outcome(shard, None, f"{MOST_TRIES} tries failed. The last: {error}")

    def rewrite(
        self, entries: Sequence[dict[str, Any]], columns: Columns
    ) -> Iterator[dict[str, Any]]:
        ray = self._ray
        waiting, idle = deque(entries), [hand for hand in self._hands if hand.task is None]
        tasks: dict[Any, tuple[_Hand, dict[str, Any]]] = {}
        while waiting or tasks:
            while idle and waiting:
                hand, entry = idle.pop(), waiting.popleft()
                tasks[hand.actor.rewrite.remote(entry, columns)] = (hand, entry)
            if not tasks:
                # No worker is left that can do it.
                yield rewrite(self._storage, waiting.popleft(), columns)
                continue
            done, _ = ray.wait(list(tasks), num_returns=1)
            hand, entry = tasks.pop(done[0])
            try:
                new = ray.get(done[0])
            except ray.exceptions.RayError as error:
                logger.warning("%s is tried again: %s", entry["shard"], _describe(ray, error))
                waiting.append(entry)
                continue
            idle.append(hand)
            yield new

    def _count(self, advance: Callable[[int], None]) -> None:
        """Ask the workers how many texts they have embedded, and tell what they answered."""
        ray = self._ray
        for hand in self._hands:
            if hand.shard is None:
                continue
            if hand.count is not None and ray.wait([hand.count], timeout=0)[0]:
                try:
                    name, n = ray.get(hand.count)
                except ray.exceptions.RayError:
                    continue
                if name == hand.shard.name:
                    advance(n - hand.n_embedded)
                    hand.n_embedded = n
                hand.count = None
            if hand.count is None:
                asked = hand.actor.progress.options(concurrency_group="progress")
                hand.count = asked.remote()

    def _dismiss(self, hand: _Hand) -> None:
        """End a worker."""
        self._hands.remove(hand)
        self._ray.kill(hand.actor)


def _check_options(options: RayOptions) -> None:
    if options.workers is not None and options.workers < 1:
        raise ValueError(f"workers is {options.workers}: give a number of at least 1.")
    for name in ("cpus_per_worker", "gpus_per_worker", "wait"):
        value = getattr(options, name)
        if not 0 <= value < float("inf"):
            raise ValueError(f"{name} is {value}: give a number of at least 0.")
        # Ray refuses parts of more than one.
        if name != "wait" and value > 1 and value != int(value):
            raise ValueError(f"{name} is {value}: above 1, give a whole number.")


def _describe(ray: Any, error: BaseException) -> str:
    """RETURNS (str): An error of a worker, in words."""
    if isinstance(error, ray.exceptions.RayTaskError):
        return str(error.cause)
    if isinstance(error, ray.exceptions.OutOfMemoryError):
        return (
            "The machine ran out of memory. Give a smaller --chunk-size or --batch-size, or fewer "
            "workers."
        )
    first, _, rest = str(error).strip().partition("\n")
    if "creation task" in first and "ModuleNotFoundError" in rest:
        last = rest.strip().splitlines()[-1]
        return f"A worker cannot import this package ({last}). Install it on all machines."
    return f"The worker was lost ({type(error).__name__}: {first})"
