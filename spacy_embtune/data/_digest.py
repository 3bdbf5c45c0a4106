"""Digests of records."""

import hashlib
import json
from collections.abc import Iterable

from .records import Record


def digest_records(records: Iterable[Record], *, with_fields: bool = False) -> str:
    """Compute a digest of records: the same for equal ids, texts and cats in the same order.

    >>> record = Record("Kick-off at eight.", {"SPORT": 1.0}, "0", {}, 1)
    >>> digest_records([record]) == digest_records([record._replace(line=9)])
    True

    records (Iterable[Record]): The records.
    with_fields (bool): Whether other fields count, too.
    RETURNS (str): SHA-256, 64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for record in records:
        parts = [record.id, record.text, sorted(record.cats.items())]
        if with_fields:
            # repr tells types apart, such as 1 and 1.0, that other formats keep.
            parts.append(repr(record.meta))
        line = json.dumps(parts)
        digest.update(f"{line}\n".encode())
    return digest.hexdigest()
