"""Cells of tables: lists, mappings and numbers that programs write as text."""

import ast
import io
import json
import re
import tokenize
from functools import lru_cache
from typing import Any

from .._texts import shorten
from ._rows import InvalidRowError

# A text that is a list or a mapping begins with one of these.
STARTS = ("[", "{", "(", "array(", "set(", "frozenset(")
# A text in brackets that holds one of these was meant as a list or a mapping. "[SEP]" was not.
MEANT_AS_LIST = re.compile(r"[,'\"]|^\w*\(\[|^\[\s*(?:[-+]?[\d.]+|True|False)(?:\s|\]|\.\.\.)")
MEANT_AS_MAPPING = re.compile(r"[:,'\"]")
CLOSING = {"[": "]", "{": "}"}
CONTAINERS = (list, dict, tuple, set)
CONSTANTS = {
    "nan": None,
    "NaN": None,
    "NaT": None,
    "NA": None,
    "null": None,
    "None": None,
    "true": True,
    "false": False,
}
# Functions that Python and numpy write around a value. Those of numpy have "np." before them.
WRAPPERS = ("array", "set", "frozenset")
# Different cells with lists or mappings that are remembered. A column has few of them.
N_REMEMBERED = 4096
# 0,85 and 1.234,5 and 1,234.5, but not 1,234, which stands for two different numbers.
DECIMAL_COMMA = re.compile(r"[-+]?(?!(?:[1-9]\d{0,2},\d{3})$)\d*,\d+")
GROUPED = re.compile(r"[-+]?\d{1,3}(?:(?:\.\d{3})+,\d+|(?:,\d{3})+\.\d+)")


def parse_container(text: str) -> Any:
    """Read a text that is a list or a mapping in the notation of JSON or Python. Tables in plain
    text and spreadsheets cannot hold one in another way.

    >>> parse_container('["A", "B"]'), parse_container("{'A': 1.0, 'B': nan}"), parse_container("A")
    (['A', 'B'], {'A': 1.0, 'B': None}, 'A')

    text (str): The text of a cell.
    RETURNS (Any): The list or the mapping; the text as it is if it is neither.
    RAISES (InvalidRowError): If it is written as a list or a mapping but cannot be read as one.
    """
    if not text.lstrip().startswith(STARTS):
        return text
    return _parse(text)


@lru_cache(maxsize=N_REMEMBERED)
def _parse(text: str) -> Any:
    cell = text.strip()
    try:
        value = json.loads(cell, object_pairs_hook=_to_mapping)
    except (ValueError, RecursionError):
        try:
            value = _parse_python(cell)
        except (ValueError, TypeError, SyntaxError, RecursionError, tokenize.TokenError):
            value = None
    if isinstance(value, CONTAINERS):
        return list(value) if isinstance(value, tuple | set) else value
    if _is_meant_as_container(cell):
        raise InvalidRowError(
            "a list or a mapping in a cell cannot be read",
            f"{shorten(cell)!r} is neither a list nor a mapping of JSON or Python. Write it as in "
            '["A", "B"] or {"A": 1.0, "B": 0.0}, for example by json.dumps, or arrays by tolist() '
            "first. If it is the name of a label, put it in a list: "
            f"{json.dumps([shorten(cell, 20)], ensure_ascii=False)}.",
        )
    return text


def _to_mapping(pairs: list[tuple[str, Any]]) -> dict[Any, Any]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        raise ValueError("a key twice")
    return mapping


def _is_meant_as_container(cell: str) -> bool:
    if cell.startswith("{"):
        return bool(MEANT_AS_MAPPING.search(cell))
    return not cell.startswith("(") and bool(MEANT_AS_LIST.search(cell))


def _parse_python(cell: str) -> Any:
    """RETURNS (Any): The value of an expression of constants and containers."""
    last = None
    for token in tokenize.generate_tokens(io.StringIO(cell).readline):
        # Python joins strings behind each other. numpy writes arrays like that: ['a' 'b'].
        if last == token.type == tokenize.STRING:
            raise ValueError("two strings without a comma")
        if token.type != tokenize.NL:
            last = token.type
    return _evaluate(ast.parse(cell, mode="eval").body)


def _evaluate(node: ast.expr) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return [_evaluate(part) for part in node.elts]
    if isinstance(node, ast.Dict):
        if None in node.keys:
            raise ValueError("an unpacked mapping")
        keys = [_evaluate(key) for key in node.keys if key is not None]
        return _to_mapping(list(zip(keys, map(_evaluate, node.values), strict=True)))
    if isinstance(node, ast.Name) and node.id in CONSTANTS:
        return CONSTANTS[node.id]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        number = _evaluate(node.operand)
        return -number if isinstance(node.op, ast.USub) else number
    if isinstance(node, ast.Call):
        return _evaluate_call(node)
    raise ValueError("not a constant")


def _evaluate_call(node: ast.Call) -> Any:
    """RETURNS (Any): The value in array([...]), set(), np.float64(1.0) and the like."""
    function = node.func
    if isinstance(function, ast.Name) and function.id in WRAPPERS:
        if not node.args:
            return []
        value = _evaluate(node.args[0])
        if isinstance(value, list):
            return value
    elif (
        isinstance(function, ast.Attribute)
        and isinstance(function.value, ast.Name)
        and function.value.id in ("np", "numpy")
        and len(node.args) == 1
    ):
        return _evaluate(node.args[0])
    raise ValueError("a call")


def parse_number(text: str) -> float | None:
    """Read a number as people and spreadsheets write it, with a decimal point or comma.

    >>> parse_number(" 0.85 "), parse_number("0,85"), parse_number("1.234,5"), parse_number("A")
    (0.85, 0.85, 1234.5, None)

    text (str): The text.
    RETURNS (float | None): The number, perhaps NaN. None: it is no number, or it can be read in two
        ways, as 1,234 can.
    """
    text = text.strip()
    try:
        return float(text)
    except ValueError:
        pass
    if not (DECIMAL_COMMA.fullmatch(text) or GROUPED.fullmatch(text)):
        return None
    decimal = max(text.rfind(","), text.rfind("."))
    return float(f"{re.sub('[.,]', '', text[:decimal])}.{text[decimal + 1 :]}")
