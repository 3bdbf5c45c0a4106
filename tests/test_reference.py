"""The reference of the docs is made from the code, and the site from all pages."""

import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import typer

import spacy_embtune
from spacy_embtune import finetune
from spacy_embtune.cli import app

from .plots.browser import launched

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import make_reference  # noqa: E402
from docstring_markdown import Entry, escape, parse  # noqa: E402


@pytest.fixture(scope="module")
def reference():
    """The pages that are made from the code, by name."""
    return make_reference.make_pages()


# The reference that is made from the code


def test_the_reference_has_each_registered_function_with_its_settings(reference):
    page = reference["config.md"]
    for group in make_reference.KINDS:
        for point in metadata.entry_points(group=group):
            if not point.name.startswith("spacy-embtune."):
                continue
            is_removed = make_reference.REMOVED.match(point.load().__doc__ or "")
            assert (f'= "{point.name}"' in page) != bool(is_removed), point.name
    assert "hidden_width = 200" in page
    assert "| `hidden_width` | `int` |" in page


def test_each_setting_of_the_reference_is_explained(reference):
    empty = re.findall(r"^\| `\w+` \| (?:`[^`]*`)? ?\|\s*\|$", reference["config.md"], re.MULTILINE)
    assert not empty


def test_the_reference_has_the_help_of_each_command(reference):
    page = reference["commands.md"]
    for name in typer.main.get_command(app).commands:
        assert f"Usage: python -m spacy embtune {name} " in page
    assert "--train <path>" in page
    assert max(len(line) for line in page.splitlines() if not line.startswith(("|", "This"))) <= 80


def test_the_reference_has_each_public_name(reference):
    for name in spacy_embtune.__all__:
        assert name.startswith("_") or f"# {escape(name)} {{ #" in (reference["python.md"])
    for name in finetune.__all__:
        title = f"## {escape(name)} {{ #"
        assert title in reference["estimators.md"]


def test_a_docstring_becomes_markdown():
    parsed = parse(
        """Do a_thing with *args.

            drawn ─► here

        >>> do(1)
        2

        n, m (int): How many,
            and more.
        rest: No type.
        RETURNS (dict[str, int]): What.
        RAISES (ValueError): If n is 0.
        """,
        ["n", "m", "rest"],
    )
    assert parsed.text == (
        "Do a\\_thing with \\*args.\n\n```text\ndrawn ─► here\n```\n\n```pycon\n>>> do(1)\n2\n```"
    )
    assert parsed.entries == [
        Entry(["n", "m"], "int", "How many, and more."),
        Entry(["rest"], "", "No type."),
    ]
    assert [(key, entry.kind) for key, entry in parsed.results] == [
        ("RETURNS", "dict[str, int]"),
        ("RAISES", "ValueError"),
    ]


def test_the_script_writes_the_pages(reference, tmp_path):
    make_reference.main(tmp_path / "pages")
    written = {path.name: path.read_text("utf8") for path in (tmp_path / "pages").iterdir()}
    assert written == reference


# The site


@pytest.fixture(scope="module")
def site(reference, tmp_path_factory):
    """The site, built with each warning as an error."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copy(ROOT / "zensical.toml", folder)
    shutil.copytree(ROOT / "docs", folder / "docs", ignore=shutil.ignore_patterns("reference"))
    (folder / "docs" / "reference").mkdir()
    for name, page in reference.items():
        (folder / "docs" / "reference" / name).write_text(page, encoding="utf8")
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "site"


@pytest.mark.slow
def test_each_page_of_the_site_fits_its_window_and_asks_no_other_host(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 20
    asked, wrong = [], []
    with launched() as browser:
        for width, opened in ((390, pages), (1280, pages[:3])):
            page = browser.new_page(viewport={"width": width, "height": 900})
            page.on("request", lambda request: asked.append(request.url))
            page.on("pageerror", lambda error: wrong.append(str(error)))
            for path in opened:
                page.goto(path.as_uri(), wait_until="domcontentloaded")
                needed = page.evaluate("document.documentElement.scrollWidth")
                assert needed <= width, f"{path.name} needs {needed} of {width}"
            page.close()
    assert not [url for url in asked if not url.startswith(("file:", "data:", "about:"))]
    assert not wrong


@pytest.mark.slow
def test_the_site_can_be_searched_without_a_server(site):
    with launched() as browser:
        page = browser.new_page()
        page.goto((site / "index.html").as_uri())
        page.keyboard.press("Control+k")
        page.get_by_role("combobox").fill("contrastive")
        page.get_by_text("ContrastiveTuner").first.wait_for(timeout=20_000)
