"""Docstrings in spaCy's format as Markdown: prose, examples, and tables of what they describe."""

import inspect
import re
import textwrap
from collections.abc import Iterable
from typing import NamedTuple

_ENTRY = re.compile(r"(\*{0,2}[A-Za-z_]\w*(?:, \*{0,2}[A-Za-z_]\w*)*)(?: \((.+?)\))?: (.*)")
_RESULT = re.compile(r"(RETURNS|YIELDS|RAISES)(?: \((.+?)\))?: (.*)")


class Entry(NamedTuple):
    """One described thing of a docstring: a parameter, a result or an error.

    names (list[str]): The names that share this description; empty for results and errors.
    kind (str): The type as the docstring has it, "" if it has none.
    text (str): The description.
    """

    names: list[str]
    kind: str
    text: str


class Parsed(NamedTuple):
    """A docstring in its parts.

    text (str): The prose and the examples as Markdown.
    entries (list[Entry]): The parameters, attributes or fields.
    results (list[tuple[str, Entry]]): RETURNS, YIELDS and RAISES with what they say.
    """

    text: str
    entries: list[Entry]
    results: list[tuple[str, Entry]]


def parse(docstring: str | None, names: Iterable[str]) -> Parsed:
    """Take a docstring apart.

    docstring (str | None): The docstring, in spaCy's format.
    names (Iterable[str]): The names that its entries may have: parameters, fields.
    RETURNS (Parsed): Its parts.
    """
    known = set(names)
    prose: list[str] = []
    entries: list[Entry] = []
    results: list[tuple[str, Entry]] = []
    lines = inspect.cleandoc(docstring or "").splitlines()
    at = 0
    while at < len(lines):
        line = lines[at]
        at += 1
        entry, result = _ENTRY.fullmatch(line), _RESULT.fullmatch(line)
        is_entry = entry is not None and all(
            name.lstrip("*") in known for name in entry[1].split(", ")
        )
        if not (result or is_entry):
            prose.append(line)
            continue
        more = [line]
        while at < len(lines) and (lines[at].startswith(" ") and lines[at].strip()):
            more.append(lines[at].strip())
            at += 1
        whole = " ".join(more)
        if result is not None:
            found = _RESULT.fullmatch(whole)
            assert found is not None
            results.append((found[1], Entry([], found[2] or "", found[3])))
        else:
            found = _ENTRY.fullmatch(whole)
            assert found is not None
            described = [name.lstrip("*") for name in found[1].split(", ")]
            entries.append(Entry(described, found[2] or "", found[3]))
    return Parsed(to_markdown(prose), entries, results)


def to_markdown(lines: list[str]) -> str:
    """RETURNS (str): Prose as Markdown: indented parts and examples become blocks of code."""
    parts: list[str] = []
    block: list[str] = []

    def close() -> None:
        while block and not block[-1].strip():
            block.pop()
        if block:
            code = textwrap.dedent("\n".join(block))
            language = "pycon" if code.lstrip().startswith(">>>") else "text"
            parts.append(f"\n```{language}\n{code}\n```\n")
        block.clear()

    in_example = False
    for line in lines:
        was_example = in_example
        in_example = line.startswith(">>>") or (in_example and bool(line.strip()))
        if in_example and not was_example:
            close()
        is_indented = line.startswith("    ") and (bool(block) or not _ends_item(parts))
        if in_example or is_indented or (block and not line.strip()):
            block.append(line)
        else:
            close()
            parts.append(escape(line))
    close()
    return re.sub(r"\n{3,}", "\n\n", "\n".join(parts)).strip()


def _ends_item(parts: list[str]) -> bool:
    """RETURNS (bool): Whether the line above is text that an indented line goes on with."""
    return bool(parts) and bool(parts[-1].strip()) and not parts[-1].endswith("```\n")


def escape(text: str) -> str:
    """RETURNS (str): Prose in which only the code between backticks is marked up."""
    pieces = re.split(r"(`[^`]*`)", text)
    return "".join(
        piece if piece.startswith("`") else re.sub(r"([*_<\[])", r"\\\1", piece) for piece in pieces
    )


def cell(text: str) -> str:
    """RETURNS (str): Prose that can stand in a cell of a table."""
    return escape(text).replace("|", "\\|").replace("\n", " ")


def code(text: str) -> str:
    """RETURNS (str): Code that can stand in a cell of a table; "" for none."""
    return f"`{text}`".replace("|", "\\|") if text else ""


def table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """RETURNS (str): A table in Markdown."""
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def slug(name: str) -> str:
    """RETURNS (str): A name as an anchor."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
