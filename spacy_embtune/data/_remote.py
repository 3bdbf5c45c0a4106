"""Files at an address, such as s3://bucket/data.csv, read through fsspec."""

import re
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

from .._extras import import_extra
from .._texts import shorten

ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(?:://|::)")


def is_address(source: Any) -> bool:
    """Decide whether a source is an address, and not the path of a file.

    >>> is_address("s3://bucket/data.csv"), is_address("C:/data.csv"), is_address("data.csv")
    (True, False, False)
    """
    return isinstance(source, str) and ADDRESS.match(source) is not None


def file_name(address: str) -> str:
    """RETURNS (str): The path in an address, without the query of a web page."""
    if address.partition("://")[0].rpartition("::")[2] in ("http", "https"):
        return urlsplit(address).path
    return address


def import_fsspec() -> Any:
    """Import fsspec, which is an optional dependency.

    RETURNS (Any): The module fsspec.
    RAISES (ImportError): If it is not installed. The message names the extra that installs it.
    """
    return import_extra("fsspec", "Addresses need fsspec", extra="remote")


def open_address(address: str, stack: ExitStack) -> Any:
    """Open the file at an address.

    address (str): The address.
    stack (ExitStack): Closes the file.
    RETURNS (Any): The bytes as they are stored.
    RAISES (ImportError): If the protocol needs a package that is not installed.
    RAISES (ValueError): If the file cannot be opened.
    """
    fsspec = import_fsspec()
    try:
        return stack.enter_context(fsspec.open(address, "rb"))
    except ImportError as error:
        raise ImportError(
            f"{address}: needs a package that cannot be imported ({error}). For https:// it comes "
            "with pip install 'spacy-embtune[remote]', for s3:// with pip install s3fs, for gs:// "
            "with pip install gcsfs."
        ) from error
    except FileNotFoundError as error:
        raise ValueError(
            f"{address}: there is no such file, or its server cannot be reached. Check the "
            "spelling and the connection."
        ) from error
    except Exception as error:
        # Each protocol has exceptions of its own, of no common class.
        raise ValueError(
            f"{address}: cannot be opened ({type(error).__name__}: {shorten(str(error), 120)}). "
            "Check the address, the connection, and your right to read the file."
        ) from error
