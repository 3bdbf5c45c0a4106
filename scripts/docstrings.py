"""Prose out of docstrings: walk a module's public objects, take their paragraphs, make plain text
of the markup."""

import importlib
import inspect
import pkgutil
import re
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NamedTuple

from corpus_io import fold

MIN_WORDS = 5
MIN_LETTERS = 0.75  # share of letters and spaces: below it, a text is a formula or a table
MAX_CHARACTERS = 2000
# Sections of prose; the others list parameters, examples or references.
PROSE_SECTIONS = ("", "Notes", "Description", "Details", "Extended Summary")
# Public by name, but helpers of tests.
SKIPPED_MODULES = ("conftest", "setup", "tests", "testutils")

_UNDERLINE = re.compile(r"([-=~^*_])\1{2,}\s*")
_SIGNATURE = re.compile(r"[\w.]+\s*\(.*\)(\s*->.*)?", re.S)
# How lists, tables, directives, code and fields start; a small letter goes on from a formula.
_NOT_PROSE = re.compile(r"\s|[-*+•|]\s|[-=+]{3}|\(?\w{1,3}[.)]\s|\.\. |>>>|:\w+:\s|\[\d+\]\s|[a-z]")
_CUT_IN = re.compile(r"\n(\s|>>>|\.\. |[-*+•] )")
# Formulas, code, bare names of sections, and what only points elsewhere.
_UNREADABLE = re.compile(
    r"\\[^ *_|'`]|\$|>>>|[\^_]\{|:math:`[^`]*[{^]|:ref:`[^<`]+`"
    r"|^(Refer to|See|For) .{0,60}\b(details|documentation|examples?|information)\.$",
    re.DOTALL,
)
_ROLE = r":(?:\w+:)?[\w+-]+:"
_MARKUP = [
    (re.compile(pattern), replacement)
    for pattern, replacement in [
        (r"(\[[\w, ]+\])_", r"\1"),  # a reference, [1]_
        (r"(?<=\w)-\n(?=\w)", "-"),
        (r"``([^`]+)``", r"\1"),  # before single ones, which would match from one to the next
        (rf"(?:{_ROLE})?`([^`<>]+?)\s*<[^`]+>`_*", r"\1"),  # a title with its target
        (rf"(?:{_ROLE})?`~(?:[\w.]*\.)?([^`.]+)`", r"\1"),  # the last part of a name
        (rf"(?:{_ROLE})?`([^`]+)`_*", r"\1"),
        (r"\*\*([^*\s][^*]*)\*\*", r"\1"),
        (r"(?<![\w*])\*([^*\s][^*]*?)\*(?![\w*])", r"\1"),
        (r"(?<!\w)\|(\w+)\|(?!\w)", r"\1"),
        (r"<?https?://[^\s>]+>?", ""),
        (r"\\ ", ""),
        (r"\\([*_|'])", r"\1"),
        (r"\s+", " "),
        (r"\(\s*\)(?!\w)(?<!\w\(\))", ""),  # what is left of an address in brackets
        (r" ([.,;:!?)])(?= |$)", r"\1"),
    ]
]


class Paragraph(NamedTuple):
    """One paragraph of a docstring.

    text (str): The paragraph as plain text, on one line.
    name (str): The public name of the object that it describes; of the class for its methods.
    template (str): The text without names and numbers: what copies of a boilerplate share.
    """

    text: str
    name: str
    template: str


def prose(label: str) -> Iterator[Paragraph]:
    """Take the prose from the docstrings of a module, in the order of the objects' names.

    label (str): The module, e.g. "scipy.stats".
    YIELDS (Paragraph): The paragraphs; a text that occurs several times comes several times.
    """
    for name, doc in _docstrings(label):
        for markup in paragraphs(doc):
            if text := plain_text(markup):
                yield Paragraph(text, name, template(markup, name))


def paragraphs(doc: str) -> Iterator[str]:
    """Take the paragraphs of prose from a docstring.

    doc (str): A docstring in the style of numpydoc.
    YIELDS (str): A paragraph, its markup as it was.
    """
    section = ""
    for i, block in enumerate(re.split(r"\n\s*\n", inspect.cleandoc(doc))):
        lines = block.rstrip().split("\n")
        if len(lines) > 1 and _UNDERLINE.fullmatch(lines[1]):
            section, lines = lines[0].strip(), lines[2:]
        text = "\n".join(lines)
        if i == 0:
            text = _without_signature(text)
        if (
            section in PROSE_SECTIONS
            and text
            and not (_NOT_PROSE.match(text) or _CUT_IN.search(text))
        ):
            yield text


def plain_text(markup: str) -> str:
    """Make readable text of a paragraph of reStructuredText.

    markup (str): The paragraph.
    RETURNS (str): The text on one line; empty where it is a formula, a table or a fragment.
    """
    if _UNREADABLE.search(markup):
        return ""
    text = markup
    for pattern, replacement in _MARKUP:
        text = pattern.sub(replacement, text)
    text = text.strip()
    letters = sum(c.isalpha() or c == " " for c in text)
    is_prose = (
        sum(bool(re.search(r"[^\W\d_]{2}", word)) for word in text.split()) >= MIN_WORDS
        and letters >= MIN_LETTERS * len(text)
        and len(text) <= MAX_CHARACTERS
        # Without a full stop at its end it leads up to something that was cut.
        and text[-1] in ".!?)"
    )
    return text if is_prose else ""


def template(markup: str, name: str) -> str:
    """Blank out what differs between copies of a boilerplate.

    markup (str): A paragraph with its markup.
    name (str): The name of the object that it describes.
    RETURNS (str): The paragraph without case, white space, quoted names, numbers and that name.
    """
    own = re.escape(name.rsplit(".", 1)[-1])
    return fold(re.sub(rf"`+[^`]+`+|\d+|\b{own}\b", "_", markup, flags=re.IGNORECASE))


def _docstrings(label: str) -> Iterator[tuple[str, str]]:
    """YIELDS (tuple): The name of a public object, of a class for its methods, and a docstring."""
    seen: set[int] = set()
    for module in _modules(label):
        for name in _public_names(module):
            value = _attribute(module, name)
            if id(value) not in seen and _is_at_home(value, label):
                seen.add(id(value))
                for doc in _docs(value):
                    yield f"{module.__name__}.{name}", doc


def _modules(name: str) -> Iterator[ModuleType]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated modules, whose objects have moved
        try:
            module = importlib.import_module(name)
        except ImportError:  # needs what is not installed
            return
    yield module
    inner = {info.name for info in pkgutil.iter_modules(getattr(module, "__path__", []))}
    for part in sorted(inner.difference(SKIPPED_MODULES)):
        if not part.startswith("_"):
            yield from _modules(f"{name}.{part}")


def _public_names(module: ModuleType) -> list[str]:
    names = getattr(module, "__all__", None)
    if names is not None:
        return sorted(set(names))
    # Without __all__, what a module imports looks public as well.
    home = module.__name__
    values = sorted(vars(module).items())
    return [n for n, v in values if n[0] != "_" and getattr(v, "__module__", None) == home]


def _attribute(module: ModuleType, name: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return getattr(module, name, None)
        except ImportError:  # experimental: asks to be switched on
            return None


def _is_at_home(value: Any, label: str) -> bool:
    """RETURNS (bool): Whether the object belongs to this module, and no other."""
    home = getattr(value, "__module__", None)
    # ufuncs and the like do not say where they come from.
    return not isinstance(home, str) or f"{home}.".startswith(f"{label}.")


def _docs(value: Any) -> Iterator[str]:
    """YIELDS (str): The object's own docstring, and those of a class's own members."""
    members = [v for n, v in sorted(vars(value).items()) if n[0] != "_"] if _is_class(value) else []
    for described in [value, *members]:
        doc = getattr(described, "__doc__", None)
        # Data have the docstring of their type, though perhaps with a signature before it.
        of_type = getattr(type(described), "__doc__", None)
        if isinstance(doc, str) and not (isinstance(of_type, str) and doc.endswith(of_type)):
            yield doc


def _is_class(value: Any) -> bool:
    return isinstance(value, type)


def _without_signature(text: str) -> str:
    first, _, rest = text.partition("\n")
    if _SIGNATURE.fullmatch(text):
        return ""
    return rest if _SIGNATURE.fullmatch(first) else text
