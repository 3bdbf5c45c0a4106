"""Split labelled documents into parts, such as train, dev and test."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

from .._texts import shorten, text_key
from ..labels import CARRIES
from ._names import find_names, suggest_name
from ._rows import list_names
from .records import Record

# A part may miss its size by this share before it is reported.
_TOLERANCE = 0.2


class RecordSplit(NamedTuple):
    """Documents in parts.

    parts (dict[str, list[Record]]): The documents of each part, in their order. "train" is first.
    n_held (int): The number of documents that are in no part, because a part that was given as a
        file of its own holds their text or their group.
    notes (list[str]): Sentences on parts that could not get the size that was asked for.
    """

    parts: dict[str, list[Record]]
    n_held: int
    notes: list[str]


class _Unit(NamedTuple):
    """Documents that must be in the same part.

    members (list[int]): Their positions.
    features (tuple[str, ...]): What is balanced: the labels that they carry, the rarest first.
    rank (bytes): A random place in the order.
    """

    members: list[int]
    features: tuple[str, ...]
    rank: bytes


def split_records(
    records: Sequence[Record],
    fractions: Mapping[str, float],
    *,
    given: Mapping[str, Sequence[Record]] | None = None,
    group_field: str | None = None,
    seed: int = 0,
) -> RecordSplit:
    """Split documents into "train" and other parts, each with its share of every label.

    Copies of a text, up to case and white space, are in the same part, and so are documents of the
    same group. The same documents and the same seed give the same parts. Several labels of a
    document are balanced together: documents are assigned one by one, those with the rarest labels
    first, to the part that lacks most of their labels.

    >>> records = [Record(f"text {i}", {"AB"[i % 2]: 1.0}, str(i), {}, i + 1) for i in range(20)]
    >>> parts = split_records(records, {"dev": 0.2, "test": 0.1}).parts
    >>> {name: len(part) for name, part in parts.items()}
    {'train': 14, 'dev': 4, 'test': 2}

    records (Sequence[Record]): The documents.
    fractions (Mapping[str, float]): The share of each part besides "train", 0 or above. A share of
        0 gives no part.
    given (Mapping[str, Sequence[Record]] | None): Parts that exist already. They stay as they are,
        and documents with their texts or groups get into no other part.
    group_field (str | None): The field with the group of a document. None: there are no groups.
    seed (int): Another seed gives other parts.
    RETURNS (RecordSplit): The parts.
    RAISES (ValueError): If the shares are not possible, no document has a group, or a part would be
        empty.
    """
    given = {} if given is None else given
    shares = _check_fractions({k: v for k, v in fractions.items() if k not in given})
    keys = [text_key(record.text) for record in records]
    groups = _groups_of(records, group_field, "the data")
    held = _find_held(keys, groups, given, group_field)
    units = _make_units(records, keys, groups, held, seed)
    part_of = _assign(units, shares)
    parts: dict[str, list[Record]] = {"train": []}
    names = list(shares)
    for name in fractions:
        if name in given or name in shares:
            parts[name] = list(given.get(name, ()))
    parts |= {name: list(part) for name, part in given.items() if name not in parts}
    for i, record in enumerate(records):
        if i in part_of:
            parts[names[part_of[i]]].append(record)
    for name, part in parts.items():
        if not part:
            raise ValueError(_explain_empty(name, keys, units, groups, group_field))
    return RecordSplit(parts, len(held), _note_sizes(parts, shares, units, groups))


def _check_fractions(fractions: Mapping[str, float]) -> dict[str, float]:
    """RETURNS (dict[str, float]): The share of each part above 0, "train" first."""
    for name, fraction in fractions.items():
        if not 0.0 <= fraction < 1.0:
            raise ValueError(
                f"The share of {name} is {fraction}. Give a number from 0 to below 1 "
                f"(--{name}-fraction)."
            )
    rest = 1.0 - sum(fractions.values())
    if rest <= 1e-9:
        shown = ", ".join(f"{name} {fraction}" for name, fraction in fractions.items())
        raise ValueError(f"The shares ({shown}) leave nothing for train. Give smaller ones.")
    return {"train": rest, **{name: share for name, share in fractions.items() if share}}


def find_groups(records: Sequence[Record], group_field: str, *, where: str) -> list[Hashable]:
    """Find the group of each document.

    >>> records = [Record("text", {}, "0", {"author": name}, 1) for name in ("Ann", None)]
    >>> find_groups(records, "author", where="data.csv")
    ['Ann', None]

    records (Sequence[Record]): The n documents.
    group_field (str): The field with the group.
    where (str): The name of the data, for the error message.
    RETURNS (list[Hashable]): The n groups. None for a document without a group.
    RAISES (ValueError): If no document has this field.
    """
    if records and not any(group_field in record.meta for record in records):
        names = dict.fromkeys(name for record in records[:1000] for name in record.meta)
        found = list(find_names(names, [group_field]))
        if not found:
            raise ValueError(
                f"{where}: no document has the field {group_field!r} for its group"
                f"{', only ' + list_names(names) if names else ''}."
                f"{suggest_name(names, group_field)} Name the field of the group (group_field, "
                "--group-field)."
            )
        group_field = found[0]
    groups: list[Hashable] = []
    for record in records:
        value = record.meta.get(group_field)
        is_missing = value is None or value == "" or value != value
        groups.append(None if is_missing else _to_hashable(value))
    return groups


def _to_hashable(value: object) -> Hashable:
    return value if isinstance(value, str) else repr(value)


def _groups_of(records: Sequence[Record], group_field: str | None, where: str) -> list[Hashable]:
    if group_field is None:
        return [None] * len(records)
    return find_groups(records, group_field, where=where)


def link_documents(keys: Sequence[str], groups: Sequence[Hashable]) -> list[int]:
    """Find the documents that belong together: copies of a text, documents of a group, and
    documents that are linked by several of these steps.

    >>> link_documents(["a", "b", "a", "c"], [None, "x", "x", None])
    [0, 0, 0, 3]

    keys (Sequence[str]): The key of the text of each document, see `text_key`.
    groups (Sequence[Hashable]): The group of each document; None for no group.
    RETURNS (list[int]): For each document the position of the first document that it belongs to.
    """
    parent = list(range(len(keys)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first: dict[tuple[str, Hashable], int] = {}
    for i, (key, group) in enumerate(zip(keys, groups, strict=True)):
        # Documents without text are no copies of each other.
        links: list[tuple[str, Hashable]] = [("text", key)] if key else []
        if group is not None:
            links.append(("group", group))
        for link in links:
            one, two = sorted((root(first.setdefault(link, i)), root(i)))
            parent[two] = one
    return [root(i) for i in range(len(keys))]


def _find_held(
    keys: Sequence[str],
    groups: Sequence[Hashable],
    given: Mapping[str, Sequence[Record]],
    group_field: str | None,
) -> set[int]:
    """RETURNS (set[int]): The documents that belong to documents of the given parts."""
    others = [record for part in given.values() for record in part]
    if not others:
        return set()
    other_keys = [text_key(record.text) for record in others]
    other_groups: list[Hashable] = [None] * len(others)
    if group_field is not None:
        other_groups = [
            group
            for part in given.values()
            for group in (_groups_of(part, group_field, "a part that was given") if part else ())
        ]
    units = link_documents([*other_keys, *keys], [*other_groups, *groups])
    return {i for i, unit in enumerate(units[len(others) :]) if unit < len(others)}


def _make_units(
    records: Sequence[Record],
    keys: Sequence[str],
    groups: Sequence[Hashable],
    held: set[int],
    seed: int,
) -> list[_Unit]:
    """RETURNS (list[_Unit]): The documents that can be assigned, in the order in which they are."""
    members: dict[int, list[int]] = defaultdict(list)
    for i, unit in enumerate(link_documents(keys, groups)):
        if i not in held:
            members[unit].append(i)
    features_of = {i: _features(record.cats) for i, record in enumerate(records) if i not in held}
    n_of = Counter(feature for features in features_of.values() for feature in features)
    units = []
    for documents in members.values():
        found = Counter(feature for i in documents for feature in features_of[i])
        # A feature that several documents of a unit have counts for each of them.
        features = sorted(found.elements(), key=lambda feature: (n_of[feature], feature))
        # The smallest key, so that the order of the documents does not matter.
        digest = hashlib.sha256(
            f"{seed} {min(keys[i] for i in documents)}".encode("utf8", "surrogatepass")
        ).digest()
        units.append(_Unit(documents, tuple(features), digest))
    # Large units first, while all parts have room for them.
    largest = max(1, len(features_of) // 1000)

    def place(unit: _Unit) -> tuple[object, ...]:
        size = len(unit.members)
        order = tuple((n_of[feature], feature) for feature in unit.features)
        return (-size if size > largest else 0, order, unit.rank)

    return sorted(units, key=place)


def _features(cats: Mapping[str, float]) -> list[str]:
    """RETURNS (list[str]): What is balanced for a document: the labels that it carries. If there
    are none, the combination of labels that it is known to lack."""
    carried = [f"+{label}" for label, value in cats.items() if value >= CARRIES]
    return carried or ["-" + "\0".join(sorted(cats))]


def _assign(units: Sequence[_Unit], shares: Mapping[str, float]) -> dict[int, int]:
    """RETURNS (dict[int, int]): For each document the position of its part in `shares`."""
    fractions = list(shares.values())
    n = sum(len(unit.members) for unit in units)
    room = [fraction * n for fraction in fractions]
    # How many documents with a feature each part should have by now, minus how many it has.
    lack: dict[str, list[float]] = defaultdict(lambda: [0.0] * len(fractions))
    lack_all = [0.0] * len(fractions)
    part_of = {}
    for unit in units:
        size = len(unit.members)
        for s, fraction in enumerate(fractions):
            lack_all[s] += fraction * size
            for feature in unit.features:
                lack[feature][s] += fraction
        scores = [
            lack_all[s] + sum(lack[feature][s] for feature in set(unit.features))
            for s in range(len(fractions))
        ]
        # A part is full when it is closer to its size without this unit.
        open_parts = [s for s in range(len(fractions)) if room[s] >= size / 2 - 1e-9]
        if open_parts:
            best = max(open_parts, key=lambda s: (round(scores[s], 9), fractions[s], -s))
        else:
            best = max(range(len(fractions)), key=lambda s: (round(room[s], 9), -s))
        room[best] -= size
        lack_all[best] -= size
        for feature in unit.features:
            lack[feature][best] -= 1.0
        for i in unit.members:
            part_of[i] = best
    return part_of


def _explain_empty(
    name: str,
    keys: Sequence[str],
    units: Sequence[_Unit],
    groups: Sequence[Hashable],
    group_field: str | None,
) -> str:
    if group_field is not None:
        few = f"{len(set(groups) - {None})} groups of {group_field!r} are too few, or too large"
        cure = "Give more documents, other shares, or no group field."
    else:
        few = f"{len(set(keys))} distinct texts are too few"
        cure = "Give more texts, other shares, or a file of its own for this part."
    return f"Nothing is left for {name}: {few}. {cure}"


def _note_sizes(
    parts: Mapping[str, Sequence[Record]],
    shares: Mapping[str, float],
    units: Sequence[_Unit],
    groups: Sequence[Hashable],
) -> list[str]:
    n = sum(len(unit.members) for unit in units)
    notes = []
    for name, share in shares.items():
        size = len(parts[name])
        if abs(size - share * n) > max(1.0, _TOLERANCE * share * n):
            notes.append(
                f"{name} has {size} documents, {size / n:.0%} instead of {share:.0%}, because "
                "groups and copies of a text stay together."
            )
    if notes:
        largest = max(units, key=lambda unit: len(unit.members))
        group = next((groups[i] for i in largest.members if groups[i] is not None), None)
        named = "" if group is None else f" (group {shorten(str(group))!r})"
        notes.append(
            f"The largest number of documents that stay together is {len(largest.members)}{named}."
        )
    return notes
