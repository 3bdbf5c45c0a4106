"""The progress bar of a run."""

from collections.abc import Callable

from .._progress import progress_interval

# A progress bar appears after this many seconds.
DELAY = 1.0


class Bar:
    """A progress bar of records. Their number is estimated from the share of the input that was
    read."""

    def __init__(self, progress: Callable[[], float | None] | bool) -> None:
        from tqdm.auto import tqdm

        self._fraction = progress if callable(progress) else None
        self._n_read = 0
        self.bar = tqdm(
            desc="Embedding",
            unit=" texts",
            disable=progress is False,
            mininterval=progress_interval(),
            dynamic_ncols=True,
            delay=DELAY,
        )

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.close()

    def read(self, n: int) -> None:
        """Count n records that were read."""
        self._n_read += n
        fraction = self._fraction() if self._fraction else None
        if fraction:
            self.bar.total = max(self._n_read, round(self._n_read / fraction))

    def expect(self, n: int) -> None:
        """Set the number of records."""
        self.bar.total = n
        self._fraction = None

    def advance(self, n: int) -> None:
        """Count n records that were embedded."""
        self.bar.update(n)

    def skip(self, n: int) -> None:
        """Count n records of an earlier run. They do not count towards the speed."""
        if self.bar.disable:
            return
        self.bar.initial += n
        self.bar.n += n
        self.bar.last_print_n = self.bar.n
        self.bar.update(0)
