"""The whole loop in a real browser, with the real command."""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import spacy
from playwright.sync_api import Browser, Page, expect

from spacy_embtune.data import read_records

from ..conftest import make_texts

pytestmark = pytest.mark.slow
HOSTILE = "<img src=x onerror=window.pwned=1>"


@contextmanager
def serving(folder: Path, encoder: Path, *args: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Runs the command until the end of the block, and then kills it."""
    command = ["-m", "spacy", "embtune", "label", str(folder / "data.jsonl")]
    options = ["--encoder", str(encoder), "--no-browser", *args]
    with subprocess.Popen(
        [sys.executable, *command, str(folder / "labels.jsonl"), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            printed = ""
            while not (found := re.search(r"http://\S+", printed)):
                line = process.stdout.readline()
                assert line, printed
                printed += line
            yield process, found[0]
        finally:
            process.send_signal(signal.SIGKILL)


@contextmanager
def opened(
    browser: Browser,
    address: str,
    *,
    width: int = 1200,
    height: int = 800,
    has_touch: bool = False,
) -> Iterator[Page]:
    """Opens the page, and looks at the end what it did besides what it should."""
    context = browser.new_context(
        viewport={"width": width, "height": height},
        has_touch=has_touch,
        reduced_motion="reduce",
        color_scheme="light",
    )
    page = context.new_page()
    page.set_default_timeout(20_000)
    complaints: list[str] = []
    requests: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(address)
    # Until then, the page says how far encoding is.
    page.wait_for_selector("#share", timeout=120_000)
    yield page
    assert page.evaluate("window.pwned") is None
    assert complaints == []
    assert all(url.startswith(address) for url in requests)
    context.close()


def lasso_all(page: Page) -> None:
    box = page.locator("#plot").bounding_box()
    assert box is not None
    left, top = box["x"] + 3, box["y"] + 3
    right, bottom = left + box["width"] - 6, top + box["height"] - 6
    page.mouse.move(left, top)
    page.mouse.down()
    for x, y in ((right, top), (right, bottom), (left, bottom)):
        page.mouse.move(x, y, steps=3)
    page.mouse.up()


def select_found(page: Page, query: str) -> int:
    page.fill("#query", query)
    # The server searches, and what was found before is still shown until it answers.
    page.wait_for_timeout(600)
    page.click("#select-found")
    return int(page.inner_text("#count").split()[0])


def labels_in(path: Path) -> dict[str, dict[str, float]]:
    return {record.text: record.cats for record in read_records(path)}


def read_learned(page: Page) -> None:
    expect(page.locator("#accuracy")).not_to_have_class(re.compile("busy"))


def test_the_loop(browser: Browser, tiny_encoder: Path, tmp_path: Path) -> None:
    texts = [text for text, _ in make_texts(60)] + [f"{HOSTILE} guitar"]
    lines = [json.dumps({"text": text}) for text in texts]
    (tmp_path / "data.jsonl").write_text("\n".join(lines))
    log = tmp_path / "labels.jsonl"
    with serving(tmp_path, tiny_encoder, "--labels", "SPORT,FOOD") as (_, address):
        with opened(browser, address) as page:
            # There is nothing but texts. The page says what to label first.
            expect(page.locator("#share")).to_have_text("0 labelled · 0\u00a0%")
            expect(page.locator("#accuracy")).to_have_text("Predictions begin with two labels.")
            expect(page.locator("#suggestions li .facts").first).to_contain_text(
                "Typical of many texts"
            )
            # A number key gives the label to what was searched.
            n_ball = select_found(page, "ball")
            page.keyboard.press("1")
            expect(page.locator("#saved")).to_have_text(f"Saved: SPORT for {n_ball} texts")
            assert set(labels_in(log)) == {text for text in texts if "ball" in text}
            # A button gives the other one.
            n_soup = select_found(page, "soup")
            page.locator("#give button", has_text="FOOD").click()
            expect(page.locator("#saved")).to_have_text(f"Saved: FOOD for {n_soup} texts")
            read_learned(page)
            expect(page.locator("#colouring option:checked")).to_have_text("Predicted label")
            # What a typed sentence means; the texts that are nearest to one of them; undo.
            page.keyboard.press("d")
            page.keyboard.type("the ball of the team")
            expect(page.locator("#meant-list li")).to_have_count(20)
            cosines = [
                float(re.search(r"-?\d\.\d+", text)[0])  # type: ignore[index]
                for text in page.locator("#meant-list .facts").all_text_contents()
            ]
            assert cosines == sorted(cosines, reverse=True)
            expect(page.locator("#meant-list .text").first).not_to_have_text("…")
            page.locator("#meant-list .text").first.click()
            expect(page.locator("#count")).to_have_text("1 text selected")
            page.click("#grow")
            expect(page.locator("#count")).to_have_text("21 texts selected")
            page.locator("#list .remove").nth(4).click(modifiers=["Shift"])
            expect(page.locator("#count")).to_have_text("16 texts selected")
            page.keyboard.press("w")
            page.fill("#query", "")
            # A cluster by the words that set it apart.
            page.locator(".cluster:visible").first.click()
            expect(page.locator("#count")).to_have_text(re.compile(r"^\d+ texts? selected$"))
            page.keyboard.press("Escape")
            # A loop around all, with the odd ones first; then undo.
            lasso_all(page)
            expect(page.locator("#count")).to_have_text(f"{len(texts)} texts selected")
            expect(page.locator("#odd")).to_be_visible()
            page.keyboard.press("x")
            expect(page.locator("#count")).to_have_text(f"{len(texts) - 1} texts selected")
            page.keyboard.press("2")
            expect(page.locator("#saved")).to_contain_text(f"FOOD for {len(texts) - 1} texts")
            page.keyboard.press("Control+z")
            expect(page.locator("#saved")).to_contain_text("Undone: FOOD for")
            expect(page.locator("#share")).to_contain_text(f"{n_ball + n_soup} labelled")
            # Not that label.
            select_found(page, "violin")
            page.check("#deny")
            page.keyboard.press("1")
            expect(page.locator("#saved")).to_contain_text("Saved: not SPORT for")
            read_learned(page)
            # A suggestion comes with its near duplicates; one text remains when they are dropped.
            page.keyboard.press("n")
            expect(page.locator("#clear")).to_be_visible()
            while page.inner_text("#count") != "1 text selected":
                page.keyboard.press("x")
            page.keyboard.press("1")
            expect(page.locator("#saved")).to_have_text("Saved: SPORT for 1 text")
            expect(page.locator("#accuracy")).to_contain_text("% right")
            # A new label on the spot, of a hostile name, for a hostile text.
            select_found(page, "onerror")
            page.keyboard.press("l")
            page.keyboard.type(HOSTILE)
            page.keyboard.press("Enter")
            expect(page.locator("#saved")).to_have_text(f"Saved: {HOSTILE} for 1 text")
        before = labels_in(log)
    # The program was killed. All is there when it starts again, and can be undone.
    with serving(tmp_path, tiny_encoder, "--tune-seconds", "3") as (_, address):
        assert labels_in(log) == before
        with opened(browser, address) as page:
            carried = [cats for cats in before.values() if 1.0 in cats.values()]
            expect(page.locator("#share")).to_contain_text(f"{len(carried)} labelled")
            assert page.locator("#give button .name").all_text_contents() == [
                "SPORT",
                "FOOD",
                HOSTILE,
            ]
            page.keyboard.press("Control+z")
            expect(page.locator("#saved")).to_have_text(f"Undone: {HOSTILE} for 1 text")
            page.keyboard.press("Control+Shift+z")
            expect(page.locator("#saved")).to_have_text(f"Done again: {HOSTILE} for 1 text")
            assert labels_in(log) == before
            # Tune: the page shows the vectors of the pipeline, and keeps the labels.
            read_learned(page)
            page.mouse.move(5, 5)
            before_tuning = page.locator("#plot").screenshot()
            page.click("#tune")
            expect(page.locator("#tune")).to_have_text("Stop tuning")
            expect(page.locator("#tuned")).to_contain_text("Tuned. The map shows", timeout=60_000)
            expect(page.locator("#tune")).to_have_text("Tune")
            expect(page.locator("#share")).to_contain_text(f"{len(carried)} labelled")
            read_learned(page)
            assert page.locator("#plot").screenshot() != before_tuning
            page.keyboard.press("d")
            page.keyboard.type("the ball of the team")
            expect(page.locator("#meant-list li")).to_have_count(20)
    # The pipeline is on the disk, and predicts the labels.
    nlp = spacy.load(tmp_path / "labels.tuned")
    assert set(nlp.get_pipe("embtune").labels) == {"SPORT", "FOOD", HOSTILE}
    docs = list(nlp.pipe(["ball team goal", "soup oven bread"]))
    assert [max(doc.cats, key=lambda label: doc.cats[label]) for doc in docs] == ["SPORT", "FOOD"]
    assert docs[0]._.embtune.any()
    assert labels_in(log) == before


def test_two_tabs_agree_and_a_lost_connection_is_told(
    browser: Browser, tiny_encoder: Path, tmp_path: Path
) -> None:
    lines = [json.dumps({"text": text}) for text, _ in make_texts(12)]
    (tmp_path / "data.jsonl").write_text("\n".join(lines))
    with serving(tmp_path, tiny_encoder, "--labels", "SPORT") as (process, address):
        with opened(browser, address) as one, opened(browser, address) as two:
            select_found(one, "ball")
            one.keyboard.press("1")
            expect(one.locator("#saved")).to_contain_text("Saved: SPORT")
            expect(two.locator("#share")).to_have_text(one.inner_text("#share"))
            two.keyboard.press("Control+z")
            expect(one.locator("#share")).to_have_text("0 labelled · 0\u00a0%")
        page: Any = browser.new_page()
        page.goto(address)
        page.wait_for_selector("#share")
        process.send_signal(signal.SIGKILL)
        expect(page.locator("#saved")).to_contain_text("There is no connection", timeout=30_000)
        lasso_all(page)
        page.keyboard.press("1")
        expect(page.locator("#saved")).to_contain_text("Not saved.")
        expect(page.locator("#count")).to_contain_text("selected")
        time.sleep(0.1)
        page.close()
