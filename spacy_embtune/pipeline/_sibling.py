"""The encoder that another component of the same saved pipeline has stored."""

from configparser import Error as ConfigError
from pathlib import Path
from typing import Any

from thinc.api import Config

from .._files import StorageError, is_intact, read_json, remembered_sha256

MANIFEST = "manifest.json"
ENCODER = "encoder"


def find_sibling(path: Path, fingerprint: str | None) -> str | None:
    """Find a component that is saved before this one in the same pipeline and has stored the same
    encoder, frozen.

    path (Path): The directory of this component. Its parent is that of the pipeline, to which spaCy
        writes the config before the components.
    fingerprint (str | None): The fingerprint of the encoder.
    RETURNS (str | None): The directory of the other component, beside this one; None if there is
        none, or this component is saved alone.
    """
    names = _components(path.parent / "config.cfg")
    if fingerprint is None or path.name not in names:
        return None
    for name in names[: names.index(path.name)]:
        manifest = read_json(path.parent / name / MANIFEST) or {}
        if manifest.get("encoder_fingerprint") == fingerprint and not _find_problem(
            path.parent / name, fingerprint
        ):
            return name
    return None


def _components(config: Path) -> list[str]:
    """RETURNS (list[str]): The components of a saved pipeline in their order."""
    try:
        names = Config().from_disk(config, interpolate=False)["nlp"]["pipeline"]
    except (OSError, ValueError, KeyError, ConfigError):
        return []
    return [str(name) for name in names] if isinstance(names, list) else []


def open_sibling(path: Path, name: str, fingerprint: Any) -> Path:
    """Find the encoder to which the manifest of a component refers.

    path (Path): The directory of the component.
    name (str): The directory of the other component, beside it.
    fingerprint (str): The fingerprint of the encoder.
    RETURNS (Path): The directory of the encoder.
    RAISES (StorageError): If there is no such directory, or it does not hold that encoder.
    """
    other = path.parent / name
    problem = "that is no name of a directory"
    if Path(name).name == name:
        problem = _find_problem(other, fingerprint)
    if problem:
        raise StorageError(
            f"The embtune component in {path} uses the encoder that is stored in {other}, but "
            f"{problem}. Copy both directories of the pipeline together, or save the pipeline "
            f"again (nlp.to_disk). A component that is saved alone has an encoder of its own: "
            f"nlp.get_pipe({path.name!r}).to_disk(DIRECTORY)."
        )
    return other / ENCODER


def _find_problem(folder: Path, fingerprint: Any) -> str:
    """RETURNS (str): Why a component's directory does not give the encoder of a fingerprint; empty
    if it does."""
    if not folder.is_dir():
        return "there is no such directory"
    manifest = read_json(folder / MANIFEST)
    entries = (manifest or {}).get("files")
    if manifest is None or not isinstance(entries, dict):
        return f"it is incomplete: {MANIFEST} is missing or unreadable"
    if manifest.get("encoder_learns"):
        return "that encoder learns, so its vectors are those of another component"
    if manifest.get("encoder_fingerprint") != fingerprint:
        return (
            f"it holds another encoder (its fingerprint is "
            f"{manifest.get('encoder_fingerprint')!s:.12}, and was {fingerprint!s:.12})"
        )
    stored = {k: v for k, v in entries.items() if k.startswith(f"{ENCODER}/")}
    if not stored:
        return "no encoder is stored there"
    for file, entry in stored.items():
        if not is_intact(folder / file, entry, digest=remembered_sha256):
            return f"it is damaged: {file} is missing, or has changed since it was saved"
    return ""
