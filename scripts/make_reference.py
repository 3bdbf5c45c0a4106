"""Write the reference pages of the docs from the code: config sections, commands, Python names.

python scripts/make_reference.py docs/reference

`make docs` runs it before it builds the site. The pages are not kept in the repository.
"""

import inspect
import re
import textwrap
from collections.abc import Callable, Iterable
from functools import cache
from importlib import import_module, metadata
from pathlib import Path
from pkgutil import iter_modules
from typing import Annotated, Any

import typer
from docstring_markdown import Parsed, cell, code, escape, parse, slug, table
from typer.testing import CliRunner

import spacy_embtune

PACKAGE = "spacy_embtune"
PREFIX = "spacy-embtune."
# The kinds of registered functions: the entry point group, the key in a config, and what they are.
KINDS = {
    "spacy_architectures": ("architectures", "Encoders, heads and the whole model"),
    "thinc_losses": ("losses", "Losses"),
    "spacy_readers": ("readers", "Readers"),
    "spacy_batchers": ("batchers", "Batchers"),
    "spacy_scorers": ("scorers", "Scorers"),
    "spacy_loggers": ("loggers", "Loggers"),
}
# Settings and names that only exist for pipelines that were saved earlier.
IGNORED = re.compile(r"Accepted and ignored", re.IGNORECASE)
REMOVED = re.compile(r"Refuse ")
_SEE = re.compile(r"See `(\w+)`")


def main(
    out: Annotated[Path, typer.Argument(help="Directory of the pages, created if need be")],
) -> None:
    """Write the reference pages."""
    out.mkdir(parents=True, exist_ok=True)
    for name, page in make_pages().items():
        (out / name).write_text(page, encoding="utf8")


@cache
def make_pages() -> dict[str, str]:
    """RETURNS (dict[str, str]): The pages by file name."""
    pages = {name: write() for name, write in PAGES.items()}
    for room in find_rooms():
        exported = getattr(import_module(f"{PACKAGE}.{room}"), "__all__", ())
        if exported and room not in ("cli", "finetune"):
            pages[f"{room}.md"] = write_room(room)
    return pages


def find_rooms() -> list[str]:
    """RETURNS (list[str]): The folders of the package."""
    folder = Path(str(spacy_embtune.__file__)).parent
    return sorted(module.name for module in iter_modules([str(folder)]) if module.ispkg)


def describe_settings(function: Callable[..., Any]) -> list[tuple[str, str, str, str]]:
    """Describe the parameters of a function, also those that its docstring only refers to.

    function (Callable): A registered function.
    RETURNS (list[tuple[str, str, str, str]]): Name, type, default and description of each.
    """
    parameters = inspect.signature(function).parameters
    parsed = parse(function.__doc__, parameters)
    described: dict[str, tuple[str, str]] = {}
    # "See `PairsReader`." in the prose: the class describes the settings.
    for owner in _SEE.findall(parsed.text):
        cls = vars(inspect.getmodule(function)).get(owner)
        for docstring in (cls.__doc__, cls.__init__.__doc__) if inspect.isclass(cls) else ():
            described.update(_by_name(parse(docstring, parameters)))
    described.update(_by_name(parsed))
    rows = []
    for name, parameter in parameters.items():
        kind, text = described.get(name, ("", ""))
        reference = _SEE.search(text)
        if reference is not None and not kind:
            kind, text = _look_up(function, reference[1], name)
        if IGNORED.search(text):
            continue
        default = parameter.default
        shown = "required" if default is inspect.Parameter.empty else to_config(default)
        rows.append((name, kind, shown, text))
    return rows


def _by_name(parsed: Parsed) -> dict[str, tuple[str, str]]:
    """RETURNS (dict[str, tuple[str, str]]): Type and description by name."""
    return {name: (entry.kind, entry.text) for entry in parsed.entries for name in entry.names}


def _look_up(function: Callable[..., Any], owner: str, name: str) -> tuple[str, str]:
    """RETURNS (tuple[str, str]): Type and description of a field that another class describes."""
    found = vars(inspect.getmodule(function)).get(owner)
    names = {name, *getattr(found, "__annotations__", {})}
    described = _by_name(parse(getattr(found, "__doc__", None), names))
    if name in described:
        return described[name]
    return "", f"See `{owner}`."


def to_config(value: Any) -> str:
    """RETURNS (str): A value as a config has it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else repr(value)


def write_config() -> str:
    """RETURNS (str): The page of config sections."""
    from spacy import blank

    import_module(f"{PACKAGE}.pipeline")
    parts = [
        "# Config sections",
        "This page is made from the code: each setting with its default. "
        "[The config](../howto/config.md) explains how the sections fit together, and "
        "the directory `configs/` has complete files.",
        '## The component: `factory = "embtune"`',
    ]
    meta = blank("en").get_factory_meta("embtune")
    component = spacy_embtune.EmbTune.__init__
    settings = {row[0]: row for row in describe_settings(component)}
    rows = []
    for name, default in meta.default_config.items():
        shown = default
        if isinstance(default, dict):
            promise = next((str(v) for k, v in default.items() if k.startswith("@")), "")
            shown, default = promise, None
        else:
            shown = to_config(default)
        _, kind, _, text = settings.get(name, (name, "", "", ""))
        rows.append((code(name), code(shown), cell(text or f"Section of its own ({kind}).")))
    parts.append(table(("setting", "default", "meaning"), rows))
    registered = find_registered()
    for group, (key, title) in KINDS.items():
        parts.append(f"## {title}: `@{key}`")
        for name, function in registered.get(group, []):
            parsed = parse(function.__doc__, inspect.signature(function).parameters)
            short = name.removeprefix(PREFIX).removesuffix(".v1")
            parts += [f"### {short} {{ #{key}-{slug(short)} }}", parsed.text]
            described = describe_settings(function)
            lines = [f'@{key} = "{name}"']
            lines += [f"{n} = {d}" for n, _, d, _ in described if d != "required"]
            parts.append("```ini\n" + "\n".join(lines) + "\n```")
            if described:
                rows = [(code(n), code(k), cell(t)) for n, k, _, t in described]
                parts.append(table(("setting", "type", "meaning"), rows))
    return "\n\n".join(parts) + "\n"


def find_registered() -> dict[str, list[tuple[str, Callable[..., Any]]]]:
    """RETURNS (dict): The registered functions by entry point group: names and functions, without
    those that were removed."""
    found: dict[str, list[tuple[str, Callable[..., Any]]]] = {}
    for group in KINDS:
        for point in metadata.entry_points(group=group):
            if not point.name.startswith(PREFIX):
                continue
            function = point.load()
            if not REMOVED.match(function.__doc__ or ""):
                found.setdefault(group, []).append((point.name, function))
    return {group: sorted(set(pairs), key=lambda pair: pair[0]) for group, pairs in found.items()}


def write_commands() -> str:
    """RETURNS (str): The page of commands, each with its help."""
    from spacy_embtune.cli import app

    group: Any = typer.main.get_command(app)
    parts = [
        "# Commands",
        "This page is made from the code: what `python -m spacy embtune COMMAND --help` prints.",
    ]
    rows = []
    helps = []
    for name, command in group.commands.items():
        if getattr(command, "hidden", False):
            continue
        first = inspect.cleandoc(command.help or "").split("\n\n")[0]
        rows.append((f"[`{name}`](#{slug(name)})", cell(first)))
        helps += [f"## {name} {{ #{slug(name)} }}", f"```text\n{help_of(app, name)}\n```"]
    parts += [table(("command", "what it does"), rows), *helps]
    return "\n\n".join(parts) + "\n"


def help_of(app: typer.Typer, command: str) -> str:
    """RETURNS (str): The help of a command, as it prints it, 80 columns wide."""
    result = CliRunner().invoke(
        app,
        [command, "--help"],
        prog_name="python -m spacy embtune",
        env={"TERMINAL_WIDTH": "80", "COLUMNS": "80", "NO_COLOR": "1"},
    )
    if result.exit_code:
        raise SystemExit(f"{command} --help failed: {result.output}")
    return "\n".join(line.rstrip() for line in result.output.strip().splitlines())


def write_python() -> str:
    """RETURNS (str): The page of the names that the package itself exports."""
    parts = [
        "# Python: main names",
        f"Import them from `{PACKAGE}`. [Estimators](estimators.md) has all that "
        f"`{PACKAGE}.finetune` exports. The other folders of the package have pages of their own.",
    ]
    names = [name for name in spacy_embtune.__all__ if not name.startswith("_")]
    for name in names:
        parts.append(describe(name, getattr(spacy_embtune, name), level=2))
    return "\n\n".join(parts) + "\n"


def write_estimators() -> str:
    """RETURNS (str): The page of the scikit-learn estimators."""
    room = import_module(f"{PACKAGE}.finetune")
    parts = ["# Python: estimators", parse(room.__doc__, []).text]
    parts += [describe(name, getattr(room, name), level=2) for name in room.__all__]
    return "\n\n".join(parts) + "\n"


def write_room(name: str) -> str:
    """RETURNS (str): The page of a folder of the package."""
    room = import_module(f"{PACKAGE}.{name}")
    parts = [f"# {PACKAGE}.{name}", parse(room.__doc__, []).text]
    shown = {id(getattr(spacy_embtune, member)) for member in spacy_embtune.__all__}
    for member in room.__all__:
        value = getattr(room, member)
        if id(value) in shown:
            parts.append(f"`{member}`: see [main names](python.md#{slug(member)}).")
        elif not REMOVED.match(inspect.getdoc(value) or ""):
            parts.append(describe(member, value, level=2))
    return "\n\n".join(parts) + "\n"


def describe(name: str, value: Any, *, level: int) -> str:
    """Describe a class, a function or a constant.

    name (str): Its name.
    value (Any): The thing.
    level (int): The level of its heading.
    RETURNS (str): Markdown.
    """
    parts = [f"{'#' * level} {escape(name)} {{ #{slug(name)} }}"]
    if inspect.isclass(value) and value.__module__.startswith(PACKAGE):
        parts += describe_class(name, value)
    elif callable(value) and getattr(value, "__module__", "").startswith(PACKAGE):
        parts += describe_function(name, value)
    else:
        shown = textwrap.shorten(repr(value).replace("`", "'"), 160)
        parts.append(f"```python\n{name} = {shown}\n```")
    return "\n\n".join(part for part in parts if part)


def describe_class(name: str, cls: type) -> list[str]:
    """RETURNS (list[str]): Markdown: the signature, the docstring, the methods."""
    is_tuple = issubclass(cls, tuple)
    fields = getattr(cls, "_fields", ()) if is_tuple else ()
    own_init = "__init__" in vars(cls) and not is_tuple
    parameters = inspect.signature(cls).parameters if own_init or is_tuple else {}
    known = {*parameters, *fields, *getattr(cls, "__annotations__", {}), *dir(cls)}
    parts = [sign(name, cls)] if own_init or not issubclass(cls, Exception) else []
    parts += describe_docstring(cls.__doc__, known)
    if own_init and cls.__init__.__doc__:  # type: ignore[misc]
        parts += describe_docstring(cls.__init__.__doc__, known)  # type: ignore[misc]
    for method, function in inspect.getmembers(cls):
        wanted = not method.startswith("_") or method == "__call__"
        module = getattr(inspect.unwrap(function), "__module__", "") if callable(function) else ""
        if isinstance(inspect.getattr_static(cls, method), property) and not method.startswith("_"):
            if (function.fget.__module__ or "").startswith(PACKAGE) and function.__doc__:
                parts += [
                    f"**`{name}.{method}`** (property)",
                    *describe_docstring(function.__doc__, []),
                ]
        elif wanted and (module or "").startswith(PACKAGE) and inspect.getdoc(function):
            shown = f"{name}.{method}"
            parts += [f"**`{shown}`**", *describe_function(shown, function)]
    return parts


def describe_function(name: str, function: Callable[..., Any]) -> list[str]:
    """RETURNS (list[str]): Markdown: the signature and the docstring."""
    try:
        parameters: Iterable[str] = inspect.signature(function).parameters
    except (TypeError, ValueError):
        parameters = ()
    return [sign(name, function), *describe_docstring(function.__doc__, parameters)]


def describe_docstring(docstring: str | None, names: Iterable[str]) -> list[str]:
    """RETURNS (list[str]): Markdown of a docstring."""
    parsed = parse(docstring, names)
    parts = [parsed.text] if parsed.text else []
    if parsed.entries:
        rows = [
            (", ".join(code(name) for name in entry.names), code(entry.kind), cell(entry.text))
            for entry in parsed.entries
            if not IGNORED.search(entry.text)
        ]
        parts.append(table(("name", "type", "meaning"), rows))
    titles = {"RETURNS": "Returns", "YIELDS": "Yields", "RAISES": "Raises"}
    for key, entry in parsed.results:
        kind = f" `{entry.kind}`" if entry.kind else ""
        parts.append(f"*{titles[key]}*{kind}: {escape(entry.text)}")
    return parts


def sign(name: str, value: Any) -> str:
    """RETURNS (str): The signature as a block of code, without types, which the table has."""
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return ""
    parameters = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in signature.parameters.values()
        if parameter.name not in ("self", "cls")
    ]
    arguments = [str(p) for p in parameters]
    keyword = next((i for i, p in enumerate(parameters) if p.kind is p.KEYWORD_ONLY), None)
    if keyword is not None and not any(p.kind is p.VAR_POSITIONAL for p in parameters):
        arguments.insert(keyword, "*")
    line = f"{name}({', '.join(arguments)})"
    if len(line) > 72:
        inner = "\n".join(f"    {argument}," for argument in arguments)
        line = f"{name}(\n{inner}\n)"
    return f"```python\n{line}\n```"


PAGES: dict[str, Callable[[], str]] = {
    "config.md": write_config,
    "commands.md": write_commands,
    "python.md": write_python,
    "estimators.md": write_estimators,
}

if __name__ == "__main__":
    typer.run(main)
