"""Piles of texts with vectors, and sessions on them, without an encoder."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser

from spacy_embtune.app import LabelLog, Pile, Session
from spacy_embtune.data import LoggedText

from ..plots.browser import launched


def make_pile_of(texts: list[str], *, n_topics: int = 3, width: int = 16, seed: int = 0) -> Pile:
    """RETURNS (Pile): Texts in turn of each topic, with vectors around the mean of the topic."""
    rng = np.random.default_rng(seed)
    means = 2 * np.eye(n_topics, width)
    noise = rng.normal(size=(len(texts), width)) / np.sqrt(width)
    vectors = (means[np.arange(len(texts)) % n_topics] + noise).astype(np.float32)
    logged = [LoggedText.of(text, f"id-{i}") for i, text in enumerate(texts)]
    return Pile(logged, vectors, vectors, "A pile", [])


def wait_until(is_done: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_done():
        assert time.monotonic() < deadline, "It took too long."
        time.sleep(0.01)


def wait_for_learning(session: Session) -> None:
    wait_until(lambda: not session.state()["is_learning"])


@pytest.fixture
def log_path(tmp_path: Path) -> Path:
    return tmp_path / "labels.jsonl"


@pytest.fixture
def make_session(log_path: Path) -> Iterator[Callable[..., Session]]:
    """Makes a session on texts that is closed at the end of the test."""
    with ExitStack() as stack:

        def make(texts: list[str] | None = None, *, exclusive: bool = True) -> Session:
            pile = make_pile_of(texts or [f"text {i}" for i in range(60)])
            log = stack.enter_context(LabelLog(log_path, exclusive=exclusive))
            return stack.enter_context(Session(pile, log))

        yield make


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with launched() as browser:
        yield browser
