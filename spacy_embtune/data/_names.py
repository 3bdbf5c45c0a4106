"""Names of fields that differ from the wanted ones only in case and white space."""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from itertools import islice
from typing import Any

logger = logging.getLogger(__name__)

# Characters at the ends of names that nobody sees: byte order marks and spaces without width.
INVISIBLE = "\ufeff\u200b\u2060"
# Different sets of field names of one file that are remembered.
N_REMEMBERED = 256
# Names that are compared with a wanted one for an error message.
MOST_COMPARED = 1000


def fold_name(name: str) -> str:
    """Write a name of a field in the form in which names are compared.

    >>> fold_name("\\ufeffText "), fold_name("text")
    ('text', 'text')

    name (str): The name.
    RETURNS (str): The name without white space at its ends, in lower case.
    """
    return name.strip().strip(INVISIBLE).strip().casefold()


def find_names(
    names: Iterable[Any], wanted: Collection[str], one_of: Sequence[str] = ()
) -> dict[str, str]:
    """Find the fields that are wanted, if they are written with other white space or case.

    >>> find_names(["Text ", "LABEL", "n"], {"text", "id"}, ["cats", "label"])
    {'Text ': 'text', 'LABEL': 'label'}

    names (Iterable[Any]): The names of the fields of a row or a table.
    wanted (Collection[str]): The names that the caller looks for.
    one_of (Sequence[str]): Names of which the caller needs the first that is there.
    RETURNS (dict[str, str]): The wanted name of each such field. A wanted name that is there as it
        is, or that two fields may stand for, is left out.
    """
    names = list(dict.fromkeys(names))
    there = set(names)
    missing = [name for name in wanted if name not in there]
    if there.isdisjoint(one_of):
        missing += one_of
    folded: dict[str, list[str]] = {fold_name(name): [] for name in missing}
    for name in names:
        if isinstance(name, str) and name not in wanted and fold_name(name) in folded:
            folded[fold_name(name)].append(name)
    found: dict[str, str] = {}
    for name in missing:
        alike = folded[fold_name(name)]
        if len(alike) > 1:
            logger.warning(
                "The fields %s differ in case and white space only, so that it is not clear which "
                "is %r. None of them is read as that. Rename one.",
                " and ".join(map(repr, alike)),
                name,
            )
        elif alike:
            found.setdefault(alike[0], name)
            if name in one_of:
                break
    return found


def suggest_name(names: Iterable[Any], wanted: str) -> str:
    """Suggest a field in the place of one that is missing.

    >>> suggest_name(["txt", "label"], "text")
    " Perhaps it is 'txt'."

    names (Iterable[Any]): The names of the fields.
    wanted (str): The name that is missing.
    RETURNS (str): A sentence with a space before it; empty if no name is close.
    """
    folded: dict[str, list[str]] = {}
    for name in islice(names, MOST_COMPARED):
        if isinstance(name, str):
            folded.setdefault(fold_name(name), []).append(name)
    close = get_close_matches(fold_name(wanted), folded, n=3)
    alike = [repr(name) for key in close for name in folded[key]]
    return f" Perhaps it is {' or '.join(alike)}." if alike else ""


class FieldNames:
    """Gives the fields of rows the names that the caller looks for.

    >>> names = FieldNames({"text", "label"})
    >>> names.rename({"Text ": "Soup.", "n": 1})
    {'text': 'Soup.', 'n': 1}
    """

    def __init__(self, wanted: Collection[str], one_of: Sequence[str] = ()) -> None:
        """Initialize the names. The arguments are those of `find_names`."""
        self._wanted = frozenset(wanted)
        self._one_of = tuple(one_of)
        self._found: dict[tuple[Any, ...], dict[str, str]] = {}

    def rename(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Rename the fields of a row.

        fields (Mapping[str, Any]): The fields.
        RETURNS (Mapping[str, Any]): The fields, in their order.
        """
        key = tuple(fields)
        found = self._found.get(key)
        if found is None:
            found = find_names(key, self._wanted, self._one_of)
            if len(self._found) < N_REMEMBERED:
                self._found[key] = found
        if not found:
            return fields
        return {found.get(name, name): value for name, value in fields.items()}
