"""How long the page of `embtune label` takes: to load, to draw, and to learn from labels.

python benchmarks/label_page.py --texts 100000 --labelled 500

The texts and their vectors (384 numbers around the mean of one of 20 topics) are made here, so that
nothing is encoded. The page is opened in headless Chromium (`EMBTUNE_CHROMIUM`, or found on this
machine). The times, in seconds, each as median (lowest to highest) of --rounds:

    start     from vectors to a session: positions of the base vectors, typicality
    load      from the request of the page until all points are drawn and the buttons are there
    drag      one frame while the plot is moved, in milliseconds
    choose    a loop around all points, until the list of the selection is there
    learn     from an action until new predictions are there, on the server
    retune    from an action until new positions are there, on the server
    work      the processor time of a retune, for a machine that has other work
    shown     from a key in the page until its new predictions and positions are drawn
"""

import os
import shutil
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import typer
from playwright.sync_api import Page, sync_playwright

from spacy_embtune.app import PageServer, Pile, Session
from spacy_embtune.data import LoggedText

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
N_TOPICS, WIDTH = 20, 384
WORDS = ["bread", "soup", "ball", "team", "song", "bank", "loan", "rain", "storm", "train", "road"]


def main(
    n: Annotated[int, typer.Option("--texts", help="Texts in the pile")] = 100_000,
    n_labelled: Annotated[int, typer.Option("--labelled", help="Labelled texts")] = 500,
    n_labels: Annotated[int, typer.Option("--labels", help="Labels")] = 10,
    rounds: Annotated[int, typer.Option(help="How often each time is measured")] = 3,
) -> None:
    """Print the times."""
    pile, topics = make_pile(n)
    with TemporaryDirectory() as folder, PageServer(Path(folder, "labels.jsonl")) as server:
        began = time.perf_counter()
        session = server.open(lambda progress: pile)
        print(f"start    {time.perf_counter() - began:.2f} s", flush=True)
        rows = np.random.default_rng(1).permutation(n)[:n_labelled]
        for label in range(n_labels):
            own = rows[topics[rows] % n_labels == label].tolist()
            session.act("give", f"label {label}", own)
        wait_for(lambda: not session.state()["is_learning"])
        measure_learning(session, rounds)
        with sync_playwright() as playwright:
            program = os.environ.get("EMBTUNE_CHROMIUM") or next(
                filter(None, map(shutil.which, NAMES))
            )
            browser = playwright.chromium.launch(
                executable_path=program, args=["--headless", "--no-sandbox", "--disable-gpu"]
            )
            for _ in range(rounds):
                context = browser.new_context(viewport={"width": 1280, "height": 800})
                page = context.new_page()
                page.set_default_timeout(60_000)
                measure_page(page, server.address)
                context.close()
            browser.close()
        for name, found in TIMES.items():
            print(
                f"{name:8} {statistics.median(found):.2f} ({min(found):.2f} to {max(found):.2f})",
                "ms" if name == "drag" else "s",
            )


TIMES: dict[str, list[float]] = {}


def note(name: str, value: float) -> None:
    TIMES.setdefault(name, []).append(value)


def make_pile(n: int) -> tuple[Pile, Any]:
    """RETURNS (tuple[Pile, ndarray]): A pile, and the topic of each text."""
    rng = np.random.default_rng(0)
    topics = rng.integers(0, N_TOPICS, n)
    means = rng.normal(size=(N_TOPICS, WIDTH)).astype(np.float32)
    noise = rng.normal(size=(n, WIDTH)).astype(np.float32)
    vectors = means[topics] + 1.2 * noise
    texts = [
        LoggedText.of(
            f"{WORDS[topic % len(WORDS)]} {WORDS[(topic + i) % len(WORDS)]} number {i} " * 4, str(i)
        )
        for i, topic in enumerate(topics.tolist())
    ]
    return Pile(texts, vectors, vectors, f"{n:,} texts", []), topics


def measure_learning(session: Session, rounds: int) -> None:
    """Note the times of the server."""
    for number in range(rounds):
        began, work = time.perf_counter(), time.process_time()
        version = label_and_wait(session, f"label {number}", number)
        note("learn", time.perf_counter() - began)
        wait_for_version(session, version + 2)
        note("retune", time.perf_counter() - began)
        note("work", time.process_time() - work)


def measure_page(page: Page, address: str) -> None:
    """Note the times of one page."""
    began = time.perf_counter()
    page.goto(address)
    page.locator("#give button").first.wait_for(state="attached")
    page.evaluate(
        "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )
    note("load", time.perf_counter() - began)
    box = page.locator("#plot").bounding_box()
    assert box is not None
    left, top = box["x"] + 3, box["y"] + 3
    right, bottom = left + box["width"] - 6, top + box["height"] - 6
    page.keyboard.press("m")
    middle = ((left + right) / 2, (top + bottom) / 2)
    page.mouse.move(*middle)
    page.mouse.down()
    steps = 30
    began = time.perf_counter()
    for step in range(steps):
        page.mouse.move(middle[0] + 3 * step, middle[1] + 2 * step)
        page.evaluate("() => new Promise(requestAnimationFrame)")
    note("drag", 1000 * (time.perf_counter() - began) / steps)
    page.mouse.up()
    page.keyboard.press("0")
    page.keyboard.press("s")
    page.wait_for_timeout(500)
    began = time.perf_counter()
    page.mouse.move(left, top)
    page.mouse.down()
    for x, y in ((right, top), (right, bottom), (left, bottom)):
        page.mouse.move(x, y)
    page.mouse.up()
    page.locator("#list li").first.wait_for()
    note("choose", time.perf_counter() - began)
    page.keyboard.press("Escape")
    page.wait_for_timeout(300)
    page.keyboard.press("n")
    page.locator("#list li").first.wait_for()
    began = time.perf_counter()
    page.keyboard.press("1")
    page.locator("#accuracy.busy").wait_for()
    page.locator("#accuracy:not(.busy)").wait_for()
    note("shown", time.perf_counter() - began)


def label_and_wait(session: Session, label: str, row: int) -> int:
    """RETURNS (int): The version before; predictions come as the next one, then positions."""
    version = session.learned_version
    session.act("give", label, [row])
    wait_for_version(session, version + 1)
    return version


def wait_for_version(session: Session, version: int) -> None:
    wait_for(lambda: session.learned_version >= version)


def wait_for(is_done: Callable[[], bool]) -> None:
    while not is_done():
        time.sleep(0.005)


if __name__ == "__main__":
    typer.run(main)
