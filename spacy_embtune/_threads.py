"""Matrix products of numpy in one thread."""

import os
import threading
from functools import cache
from types import TracebackType
from typing import Any


class _OneThread:
    """In a `with` block of this object, numpy multiplies matrices in one thread.

    The products of a training step take a tenth of a millisecond. More threads gain little there,
    and where other programs use the processors, OpenBLAS waits for its threads for many times as
    long as the product takes. With one thread, results also do not depend on the number of
    processors.

    The number of threads belongs to the whole process. If several threads of Python are in such
    blocks, the first one sets the number and sets it back when it leaves.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner: int | None = None
        self._depth = 0
        self._limit: Any = None

    def __enter__(self) -> None:
        this_thread = threading.get_ident()
        with self._lock:
            if self._owner is None:
                self._owner = this_thread
                self._limit = _blas_of_numpy().limit(limits=1)
                self._limit.__enter__()
            if self._owner == this_thread:
                self._depth += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            if self._owner != threading.get_ident():
                return
            self._depth -= 1
            if self._depth == 0:
                self._limit.__exit__(kind, error, trace)
                self._owner = self._limit = None


@cache
def _blas_of_numpy() -> Any:
    """RETURNS (ThreadpoolController): Controls the BLAS that a wheel of numpy brings; nothing where
    numpy has another one, which other packages may use too."""
    from threadpoolctl import ThreadpoolController

    found = ThreadpoolController().select(user_api="blas")
    paths = [library.filepath for library in found.lib_controllers]
    return found.select(filepath=[path for path in paths if "numpy" in os.path.dirname(path)])


ONE_THREAD = _OneThread()
if hasattr(os, "register_at_fork"):
    # A child has only the thread that forked, but a copy of the state of all.
    os.register_at_fork(after_in_child=ONE_THREAD.__init__)  # type: ignore[misc]
