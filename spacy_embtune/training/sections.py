"""Sections of a spaCy config as objects: heads, losses, encoders."""

from typing import Any

from spacy.util import registry


def build_section(section: dict[str, Any]) -> Any:
    """Build the object that a section of a config describes, and first those of the sections inside
    it. Types are not validated as in spaCy's config system: the registered functions check their
    arguments, and their errors say more.

        >>> build_section({"@losses": "spacy-embtune.cosine_pairs.v1", "negatives": "class"})
        CosinePairs(negatives='class')

    section (dict): The section, with the name of a registered function under "@architectures",
        "@losses" and the like. A section without such a name stays a dict.
    RETURNS (Any): What the function returns.
    """
    arguments = {
        key: build_section(value) if isinstance(value, dict) else value
        for key, value in section.items()
        if not key.startswith("@")
    }
    for key, name in section.items():
        if key.startswith("@"):
            return registry.get(key[1:], name)(**arguments)
    return arguments
