"""Imports of packages that are optional."""

from importlib import import_module
from typing import Any


def import_extra(module: str, need: str, *, extra: str) -> Any:
    """Import a module of an optional dependency.

    >>> import_extra("json", "Files need json", extra="files").__name__
    'json'

    module (str): The name of the module.
    need (str): What needs which package, for the error message: "Spreadsheets need openpyxl".
    extra (str): The extra of this package that installs it.
    RETURNS (Any): The module.
    RAISES (ImportError): If it cannot be imported. The message names the extra.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{need}, which cannot be imported ({error}). Install it: pip install "
            f"'spacy-embtune[{extra}]'"
        ) from error
