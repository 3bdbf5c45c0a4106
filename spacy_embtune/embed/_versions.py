"""Versions of what vectors are made with, and how those of two machines differ."""

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

PACKAGES = (
    "spacy-embtune",
    "spacy",
    "torch",
    "numpy",
    "sentence-transformers",
    "transformers",
    "tokenizers",
)


def find_versions() -> dict[str, str]:
    """RETURNS (dict[str, str]): The versions of Python and of the packages on this machine."""
    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "missing"
    return found


def describe_difference(here: Mapping[str, str], there: Mapping[str, str]) -> str:
    """Compare the versions of two machines.

    >>> describe_difference({"python": "3.11"}, {"python": "3.12"})
    'python is 3.11 here and 3.12 there'

    here, there (Mapping[str, str]): The versions by package.
    RETURNS (str): Those that differ, in words; empty if there are none.
    """
    return ", ".join(
        f"{name} is {here.get(name)} here and {there.get(name)} there"
        for name in {**here, **there}
        if here.get(name) != there.get(name)
    )
