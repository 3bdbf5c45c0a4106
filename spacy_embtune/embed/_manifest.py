"""What a directory of shards says about itself.

_settings.json   what its shards were made with, written first
_manifest.json   its shards in the order of the input, written when a run ends

Names that begin with "_" are no shards.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from .._texts import quote_some
from ._shard_writer import Shard, entry_name, read_entry
from ._storage import SHARDS, Storage

FORMAT = 1
SETTINGS = "_settings.json"
MANIFEST = "_manifest.json"


def read_object(storage: Storage, name: str) -> dict[str, Any] | None:
    """RETURNS (dict[str, Any] | None): A JSON object in OUT; None if it is missing or not whole."""
    try:
        content = json.loads(storage.read(name) or b"")
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def write_object(storage: Storage, name: str, content: Mapping[str, Any]) -> None:
    """Write a JSON object into OUT."""
    storage.write(name, json.dumps(content, indent=1).encode())


def list_shards(storage: Storage, suffix: str) -> set[str]:
    """RETURNS (set[str]): The names of the shards in OUT, finished or not."""
    files = {name for name in storage.sizes() if not name.startswith((".", "_"))}
    entries = {name.removesuffix(".json") for name in storage.sizes(SHARDS)}
    return {name for name in files if name.endswith(suffix)} | {
        name for name in entries if not name.startswith(".")
    }


def check_out(
    storage: Storage, settings: Mapping[str, Any], shards: Sequence[Shard], *, force: bool
) -> set[str]:
    """Check that what is in OUT belongs to this run. Nothing is changed.

    storage (Storage): OUT. It need not exist.
    settings (Mapping[str, Any]): What the shards of this run are made with.
    shards (Sequence[Shard]): The shards of this run.
    force (bool): Whether shards of other settings or other data may be removed.
    RETURNS (set[str]): The names of the shards that have to be removed.
    RAISES (ValueError): When OUT holds something else, and `force` is not set.
    """
    where, suffix = storage.address, str(settings["format"])
    then = read_object(storage, SETTINGS)
    if then is None:
        others = sorted(name for name in storage.sizes() if not name.startswith((".", "_")))
        if others:
            raise ValueError(
                f"{where}: holds files that are no shards of `embed`: {quote_some(others)}. Give "
                "an empty directory."
            )
        return set()
    if then == settings:
        return _find_strange(storage, shards, suffix, force=force)
    if not force:
        raise ValueError(
            f"{where}: holds shards that were made with other settings: "
            f"{_describe_change(then, settings)}. Use the earlier settings to go on, another "
            "directory, or --force to remove these shards."
        )
    return list_shards(storage, str(then.get("format", suffix)))


def start_out(storage: Storage, settings: Mapping[str, Any], removed: set[str]) -> None:
    """Make OUT ready for the shards of a run.

    storage (Storage): OUT.
    settings (Mapping[str, Any]): What the shards are made with.
    removed (set[str]): The names of shards to remove.
    RAISES (OSError): When it cannot be written.
    """
    storage.make()
    storage.remove(MANIFEST)
    remove_shards(storage, removed)
    if read_object(storage, SETTINGS) != settings:
        write_object(storage, SETTINGS, settings)


def _find_strange(
    storage: Storage, shards: Sequence[Shard], suffix: str, *, force: bool
) -> set[str]:
    """RETURNS (set[str]): The names of the shards of files that this run does not read.
    RAISES (ValueError): When there are some, and `force` is not set."""
    names = {shard.name for shard in shards}
    files = {shard.part.name for shard in shards}
    strange = {}
    for name in sorted(list_shards(storage, suffix) - names):
        entry = read_entry(storage.read(entry_name(name)))
        if entry is not None and entry["part"]["name"] not in files:
            strange[name] = entry["part"]["name"]
    if strange and not force:
        raise ValueError(
            f"{storage.address}: holds shards of files that are not part of DATA: "
            f"{quote_some(sorted(set(strange.values())))}. Give DATA that has them, another "
            "directory, or --force to remove their shards."
        )
    return set(strange)


def remove_shards(storage: Storage, names: set[str]) -> None:
    """Remove shards with their entries.

    storage (Storage): OUT.
    names (set[str]): The names of the shards.
    """
    for name in sorted(names):
        # Without an entry, what is left of a shard is not used.
        storage.remove(entry_name(name))
        storage.remove(name)


def _describe_change(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """RETURNS (str): The settings that differ, in words."""
    changes = []
    for name in {**then, **now}:
        one, other = then.get(name), now.get(name)
        if isinstance(one, dict) and isinstance(other, dict):
            changes.append(_describe_change(one, other))
        elif one != other:
            changes.append(f"{name} was {one}, and is {other}")
    return "; ".join(filter(None, changes))
