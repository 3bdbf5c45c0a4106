"""Training multiplies matrices in one thread, and leaves the number of threads as it was."""

import multiprocessing
import threading

import numpy as np
import pytest

from spacy_embtune._threads import ONE_THREAD, _blas_of_numpy
from spacy_embtune.finetune import ContrastiveTuner
from spacy_embtune.training import training_step


def threads() -> list[int]:
    return [library.get_num_threads() for library in _blas_of_numpy().lib_controllers]


def set_threads(n: int) -> None:
    _blas_of_numpy().limit(limits=n)
    # At the end of a block, threadpoolctl lets any thread set the number again.
    with _blas_of_numpy().limit(limits=n):
        pass


@pytest.fixture(autouse=True)
def _three_threads():
    before = threads()
    set_threads(3)
    yield
    set_threads(before[0])


def test_the_number_of_threads_comes_back_also_after_an_error():
    three = threads()
    with ONE_THREAD:
        assert threads() == [1] * len(three)
        with pytest.raises(ZeroDivisionError), ONE_THREAD:
            raise ZeroDivisionError
        assert threads() == [1] * len(three)
    assert threads() == three


def test_each_thread_may_enter_and_the_first_one_sets_the_number_back():
    three = threads()
    inside, leave = threading.Event(), threading.Event()
    seen = []

    def stay():
        with ONE_THREAD:
            inside.set()
            leave.wait(10)
            seen.append(threads())
            with ONE_THREAD:
                seen.append(threads())

    other = threading.Thread(target=stay)
    with ONE_THREAD:
        other.start()
        assert inside.wait(10)
    assert threads() == three
    leave.set()
    other.join()
    assert seen == [three, [1] * len(three)]
    assert threads() == three


def _read_in_child(queue):
    queue.put((ONE_THREAD._owner, ONE_THREAD._lock.acquire(timeout=5)))


@pytest.mark.slow
def test_a_forked_process_starts_outside():
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    with ONE_THREAD:
        child = context.Process(target=_read_in_child, args=(queue,))
        child.start()
        assert queue.get(timeout=30) == (None, True)
        child.join()


def test_a_training_step_runs_in_one_thread():
    three, seen = threads(), []

    def forward(inputs):
        seen.append(threads())
        return None, seen.append

    with pytest.raises(TypeError):
        training_step(forward, None, None, lambda output, targets: seen.append(threads()))
    assert seen == [[1] * len(three)] * 2
    assert threads() == three


def test_a_fit_gives_the_same_with_any_number_of_threads():
    rng = np.random.RandomState(0)
    X = rng.normal(size=(96, 256)).astype("float32")
    y = rng.randint(2, size=96)
    results = []
    for n in (1, 2, 3):
        set_threads(n)
        results.append(ContrastiveTuner(epochs=2, random_state=0).fit(X, y).transform(X))
    for tuned in results[1:]:
        np.testing.assert_array_equal(tuned, results[0])
