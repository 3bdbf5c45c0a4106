"""Make the pictures of the page of `embtune label` for the documentation, in a real browser.

python scripts/make_docstring_corpus.py corpus
python scripts/make_label_pictures.py corpus/train.spacy docs/images
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import typer

from spacy_embtune.app import PageServer, Session, make_pile
from spacy_embtune.data import read_records
from spacy_embtune.finetune import SentenceEncoder

LABELS = (
    "numpy.random",
    "scipy.interpolate",
    "scipy.signal",
    "scipy.sparse",
    "scipy.stats",
    "sklearn.metrics",
)
N_LABELLED = 90
SECONDS = 60_000


def main(
    data: Annotated[Path, typer.Argument(help="A labelled file")],
    out: Annotated[Path, typer.Argument(help="The directory of the pictures")],
    chromium: Annotated[str, typer.Option(help="The browser")] = "/usr/bin/chromium",
    store: Annotated[Path | None, typer.Option(help="Keeps the vectors")] = None,
) -> None:
    """Write label.png, label-list.png and label-phone.png."""
    records = [record for record in read_records(data) if _label_of(record) in LABELS]
    known = {record.text: _label_of(record) for record in records}
    pile = partial(
        make_pile,
        [record._replace(cats={}) for record in records],
        SentenceEncoder(),
        title="Docstrings",
        store=store,
    )
    with TemporaryDirectory() as folder, PageServer(Path(folder, "labels.jsonl")) as server:
        session = server.open(lambda progress: pile(progress=progress))
        label_some(session, known)
        with opened(server.address, chromium, 1280, 860) as page:
            page.wait_for_selector(".cluster:visible")
            take(page, out / "label.png")
            page.locator("#lists .give").nth(1).click()
            page.wait_for_selector("#odd:visible")
            page.wait_for_timeout(1000)
            page.mouse.move(5, 5)
            take(page, out / "label-list.png")
        with opened(server.address, chromium, 390, 844) as page:
            page.wait_for_selector(".cluster:visible")
            take(page, out / "label-phone.png")


def _label_of(record: Any) -> str:
    return max(record.cats, key=lambda label: record.cats[label], default="")


def take(page: Any, path: Path) -> None:
    """Write a picture with few colours, which is small."""
    from PIL import Image

    with Image.open(BytesIO(page.screenshot())) as image:
        few = image.convert("RGB").quantize(256, kmeans=4, dither=Image.Dither.NONE)
        few.save(path, optimize=True)


def label_some(session: Session, known: dict[str, str]) -> None:
    """Label texts at random, as their file says."""
    texts = session.pile.texts
    rows = np.random.default_rng(0).permutation(len(texts))[:N_LABELLED].tolist()
    for label in LABELS:
        session.act("give", label, [row for row in rows if known[texts[row].text] == label])


@contextmanager
def opened(address: str, chromium: str, width: int, height: int) -> Iterator[Any]:
    """YIELDS (Page): The page of an address, once predictions are there."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(
            viewport={"width": width, "height": height},
            color_scheme="light",
            reduced_motion="reduce",
        )
        page.on("pageerror", lambda error: print("error:", error))
        page.on("console", lambda message: print("console:", message.text))
        page.goto(address)
        page.wait_for_selector("#curve:not([hidden])", timeout=SECONDS)
        page.wait_for_selector("#accuracy:not(.busy)", timeout=SECONDS)
        yield page
        browser.close()


if __name__ == "__main__":
    typer.run(main)
