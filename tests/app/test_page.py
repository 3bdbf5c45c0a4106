"""The page in a real browser: by keyboard alone, on a phone, and reloaded while it works."""

import json
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page, expect

from spacy_embtune.app import PageServer, Pile

from ..test_files import files_limited_to
from .conftest import make_pile_of
from .test_choosing import TopicEncoder, make_topic_pile
from .test_loop import opened
from .test_tuning import save_pipeline

N = 60

# What can be focused now, with what a person sees of it and how a screen reader calls it.
FOCUSED = """() => {
  const one = document.activeElement;
  const shown = one.matches(".segments input") ? one.nextElementSibling : one;
  const { outlineStyle, outlineWidth } = getComputedStyle(shown);
  const { width, height } = shown.getBoundingClientRect();
  return {
    key: one.id || `${one.tagName} ${one.className} ${one.textContent.slice(0, 40)}`,
    hasOutline: outlineStyle !== "none" && parseFloat(outlineWidth) >= 1,
    isVisible: width > 0 && height > 0 && shown.checkVisibility(),
  };
}"""


@contextmanager
def serving(
    tmp_path: Path,
    encoder: Any = None,
    *,
    seconds: float = 0.0,
    is_labelled: bool = False,
    pile: Pile | None = None,
) -> Iterator[PageServer]:
    """Serves texts, of three topics if no others are given, with labels to offer and a button that
    tunes."""
    made, out = tmp_path / "made", tmp_path / "labels.tuned"
    save_pipeline(made)
    code = (
        "import shutil, time; print('Trying: a head'); "
        f"time.sleep({seconds}); shutil.copytree({str(made)!r}, {str(out)!r})"
    )
    pile = pile or make_topic_pile(N)
    if encoder is not None:
        pile = pile._replace(encoder=encoder)
    with PageServer(
        tmp_path / "labels.jsonl",
        labels=["sport", "food"],
        tune_with=[sys.executable, "-c", code],
    ) as server:
        session = server.open(lambda progress: pile)
        if is_labelled:
            session.act("give", "sport", [0, 3])
            session.act("give", "food", [1, 4])
        yield server


def tab_to(page: Page, selector: str) -> None:
    """Press Tab until an element has the focus."""
    for _ in range(200):
        page.keyboard.press("Tab")
        if page.evaluate("what => document.activeElement.matches(what)", selector):
            return
    pytest.fail(f"The key Tab does not reach {selector}.")


def nameless(page: Page) -> list[Any]:
    """RETURNS (list): What can be focused, but has no name for a screen reader."""
    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")
    found = []
    for node in tree["nodes"]:
        is_focusable = any(one["name"] == "focusable" for one in node.get("properties", []))
        is_page = node.get("role", {}).get("value") == "RootWebArea"
        if is_focusable and not is_page and not node.get("name", {}).get("value", "").strip():
            found.append((node.get("role"), node.get("name")))
    return found


def check_stops(page: Page) -> set[str]:
    """Press Tab until the focus has been everywhere. RETURNS (set[str]): What had the focus."""
    seen: set[str] = set()
    n_rounds = 0
    while n_rounds < 2:
        page.keyboard.press("Tab")
        focused = page.evaluate(FOCUSED)
        if focused["key"].startswith("BODY"):
            n_rounds += 1
            continue
        assert focused["hasOutline"], focused
        assert focused["isVisible"], focused
        seen.add(focused["key"])
        assert len(seen) < 1000
    assert nameless(page) == []
    return seen


def test_everything_can_be_done_by_keyboard(browser: Browser, tmp_path: Path) -> None:
    with serving(tmp_path) as server, opened(browser, server.address) as page:
        press, saved, counted = page.keyboard.press, page.locator("#saved"), page.locator("#count")
        expect(page.locator("#suggestions li").first).to_be_visible()
        expect(page.locator(".cluster:visible").first).to_be_visible()
        stops = check_stops(page)
        assert {"query", "plot", "colouring", "show-help", "names", "fit"} <= stops
        expect(page.locator("#tune")).to_be_disabled()
        expect(page.locator("#tuned")).to_have_text("From two labels with texts on")
        # Search by words, select what was found, label it by its number.
        press("w")
        page.keyboard.type("oven")
        expect(page.locator("#select-found")).to_be_visible()
        tab_to(page, "#select-found")
        press("Enter")
        expect(counted).to_have_text(re.compile(r"texts selected$"))
        press("2")
        expect(saved).to_contain_text("Saved: food for")
        press("Control+z")
        expect(saved).to_contain_text("Undone: food for")
        press("Control+Shift+z")
        expect(saved).to_contain_text("Done again: food for")
        # A sentence, and the first text that is near to it.
        press("/")
        press("Escape")
        press("Escape")
        press("d")
        page.keyboard.type("ball team goal")
        expect(page.locator("#meant-list li")).to_have_count(20)
        tab_to(page, "#meant-list .text")
        press("Enter")
        expect(counted).to_have_text("1 text selected")
        # More like it; the list is read, and texts are dropped; the focus stays in the list.
        press("g")
        expect(counted).to_have_text("21 texts selected")
        expect(page.locator("#odd")).to_be_visible()
        assert {"label", "deny", "drop", "grow", "clear"} <= check_stops(page)
        tab_to(page, "#list .text")
        press("Enter")
        expect(page.locator("#list .open")).to_have_count(1)
        press("Tab")
        press("Enter")
        expect(counted).to_have_text("20 texts selected")
        assert page.evaluate("document.activeElement.className") == "remove"
        press("x")
        expect(counted).to_have_text("19 texts selected")
        # Escape ends typing, and leaves nothing behind.
        press("l")
        page.keyboard.type("spo")
        press("Escape")
        expect(counted).to_have_text("19 texts selected")
        expect(page.locator("#label")).to_have_value("")
        press("1")
        expect(saved).to_have_text("Saved: sport for 19 texts")
        expect(page.locator("#tip")).to_be_hidden()
        # A point of the map, and a new label.
        press("/")
        press("Escape")
        press("Escape")
        tab_to(page, "#plot")
        press("ArrowRight")
        expect(page.locator("#said")).to_contain_text(re.compile("text[0-9]+ \N{EN DASH} "))
        press("Enter")
        expect(counted).to_have_text("1 text selected")
        press("l")
        page.keyboard.type("music")
        press("Enter")
        expect(saved).to_have_text("Saved: music for 1 text")
        # Once a suggestion has its label, the next one is selected; so it is with lists. Undo goes
        # back to it.
        first, learning = page.locator("#list .text").first, page.locator("#accuracy")
        for key in ("a", "n"):
            expect(learning).not_to_have_class("busy")
            press(key)
            before = first.inner_text()
            press("2")
            expect(saved).to_contain_text("Saved: food for")
            expect(first).not_to_have_text(before)
            press("Control+z")
            expect(saved).to_contain_text("Undone: food for")
            expect(first).to_have_text(before)
            press("Escape")
            expect(page.locator("#clear")).to_be_hidden()
        # Suggestions, a list to label at once, a cluster; not that label.
        for key in ("n", "a"):
            press(key)
            expect(page.locator("#clear")).to_be_visible()
            press("Escape")
        tab_to(page, ".cluster")
        press("Enter")
        expect(page.locator("#clear")).to_be_visible()
        press("Shift+Digit3")
        expect(saved).to_contain_text("Saved: not music for")
        # Help, and the button that tunes.
        press("?")
        expect(page.locator("#help-title")).to_be_in_viewport()
        press("Escape")
        expect(page.locator("#help")).to_be_hidden()
        tab_to(page, "#tune")
        press("Enter")
        expect(page.locator("#tuned")).to_contain_text("Tuned. The map shows", timeout=30_000)


def test_each_key_labels_another_text_however_fast_they_come(
    browser: Browser, tmp_path: Path
) -> None:
    pile = make_pile_of([f"text {i}" for i in range(60)])
    with serving(tmp_path, pile=pile) as server, opened(browser, server.address) as page:
        share = page.locator("#share")
        expect(page.locator("#suggestions li").first).to_be_visible()
        page.keyboard.press("n")
        first = page.locator("#list .text").first.inner_text()
        for key in "1212":
            page.keyboard.press(key)
        expect(share).to_contain_text("4 labelled")
        lines = (tmp_path / "labels.jsonl").read_text().splitlines()
        given = [line for line in map(json.loads, lines) if line.get("do") == "give"]
        assert [line["label"] for line in given] == ["sport", "food"] * 2
        assert len({text["digest"] for line in given for text in line["texts"]}) == 4
        assert [text["text"] for text in given[0]["texts"]] == [first]
        for n in (3, 2, 1, 0):
            page.keyboard.press("Control+z")
            expect(share).to_contain_text(f"{n} labelled")


# What is cut, covered, or beyond the edge of the window.
MISPLACED = """() => {
  const found = [];
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > width) {
    found.push(`the page is ${document.documentElement.scrollWidth} wide`);
  }
  const nameOf = (one) => one.id || one.className || one.tagName + one.textContent.slice(0, 30);
  for (const one of document.querySelectorAll("body *")) {
    const box = one.getBoundingClientRect();
    const isApart = one.closest("#tags, canvas, .unseen");
    const isUnseen = !one.checkVisibility() || box.width < 2 || isApart;
    if (isUnseen) continue;
    if (box.left < -1 || box.right > width + 1) {
      found.push(`${nameOf(one)} is beyond the edge: ${box.left} to ${box.right}`);
    }
    if (!one.matches("button, input:not([type=radio]), select, summary")) continue;
    const { textOverflow } = getComputedStyle(one);
    const isShortened = textOverflow === "ellipsis" || one.matches(".text, input");
    if (!isShortened && one.scrollWidth > one.clientWidth + 1) {
      found.push(`${nameOf(one)} is cut: ${one.scrollWidth} in ${one.clientWidth}`);
    }
    one.scrollIntoView({ block: "center" });
    const seen = one.getBoundingClientRect();
    const top = document.elementFromPoint(seen.left + seen.width / 2, seen.top + seen.height / 2);
    if (!top || !(one.contains(top) || top.contains(one))) {
      found.push(`${nameOf(one)} is covered by ${top ? nameOf(top) : "nothing"}`);
    }
  }
  window.scrollTo(0, 0);
  return found;
}"""


def test_a_phone_shows_all_of_it(browser: Browser, tmp_path: Path) -> None:
    with (
        serving(tmp_path) as server,
        opened(browser, server.address, width=390, height=844, has_touch=True) as page,
    ):
        expect(page.locator(".cluster:visible").first).to_be_visible()
        assert "\n".join(page.evaluate(MISPLACED)) == ""
        page.locator("#lists .give").first.tap()
        expect(page.locator("#odd")).to_be_visible()
        assert "\n".join(page.evaluate(MISPLACED)) == ""
        page.locator("#give button").first.tap()
        expect(page.locator("#saved")).to_contain_text("Saved: ")
        page.locator("#by label", has_text="Meaning").tap()
        page.fill("#query", "soup " * 30)
        expect(page.locator("#meant-list li")).to_have_count(20)
        assert "\n".join(page.evaluate(MISPLACED)) == ""
        page.locator("#meant-list .text").first.tap()
        page.fill("#label", "A label with a long name " * 8)
        page.locator("#actions button.main").tap()
        expect(page.locator("#saved")).to_contain_text("Saved: A label")
        page.fill("#query", "")
        page.locator("#tune").tap()
        expect(page.locator("#tuned")).to_contain_text("Tuned. The map shows", timeout=30_000)
        assert "\n".join(page.evaluate(MISPLACED)) == ""


class GatedEncoder(TopicEncoder):
    """An encoder that waits until it may go on."""

    def __init__(self) -> None:
        self.may_go_on = threading.Event()

    def transform(self, texts: list[str]) -> NDArray[Any]:
        self.may_go_on.wait(30)
        return super().transform(texts)


def test_a_page_that_is_reloaded_while_it_learns_shows_the_result(
    browser: Browser, tmp_path: Path
) -> None:
    encoder = GatedEncoder()
    with serving(tmp_path, encoder) as server, opened(browser, server.address) as page:
        accuracy = page.locator("#accuracy")
        expect(accuracy).to_have_class(re.compile("busy"))
        page.keyboard.press("/")
        page.keyboard.type("oven")
        expect(page.locator("#select-found")).to_be_visible()
        page.click("#select-found")
        page.keyboard.press("2")
        expect(page.locator("#saved")).to_contain_text("Saved: food for")
        share = page.inner_text("#share")
        page.reload()
        expect(page.locator("#share")).to_have_text(share)
        expect(accuracy).to_have_class(re.compile("busy"))
        encoder.may_go_on.set()
        expect(accuracy).not_to_have_class(re.compile("busy"))
        expect(page.locator("#suggestions li").first).to_be_visible()
        expect(page.locator("#colouring option:checked")).to_have_text("Predicted label")


@pytest.mark.parametrize("is_reloaded", [True, False], ids=["reloaded", "second tab"])
def test_a_page_that_is_opened_while_a_pipeline_is_tuned_follows_it(
    browser: Browser, tmp_path: Path, is_reloaded: bool
) -> None:
    with (
        serving(tmp_path, seconds=3.0, is_labelled=True) as server,
        opened(browser, server.address) as page,
    ):
        page.click("#tune")
        expect(page.locator("#tuned")).to_contain_text("Trying: a head")
        if is_reloaded:
            page.reload()
        else:
            page = page.context.new_page()
            page.goto(server.address)
        expect(page.locator("#tune")).to_have_text("Stop tuning")
        expect(page.locator("#tuned")).to_contain_text("Tuning for 0:0")
        expect(page.locator("#tuned")).to_contain_text("Tuned. The map shows", timeout=30_000)
        expect(page.locator("#tune")).to_have_text("Tune")
        # A page that is opened later shows the result as well.
        page.reload()
        expect(page.locator("#tuned")).to_contain_text("Tuned. The map shows")


def test_a_full_disk_is_told_and_the_selection_stays(browser: Browser, tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        page = browser.new_page()
        page.goto(server.address)
        page.wait_for_selector("#suggestions li")
        page.locator("#lists .give").first.click()
        counted = page.inner_text("#count")
        path = tmp_path / "labels.jsonl"
        before = path.read_bytes()
        with files_limited_to(len(before) + 100):
            page.keyboard.press("1")
            expect(page.locator("#saved")).to_contain_text("Not saved. There is no room for")
        assert path.read_bytes() == before
        expect(page.locator("#count")).to_have_text(counted)
        expect(page.locator("#share")).to_contain_text("0 labelled")
        page.keyboard.press("1")
        expect(page.locator("#saved")).to_contain_text("Saved: sport for")
        assert path.read_bytes().startswith(before)
        page.close()
