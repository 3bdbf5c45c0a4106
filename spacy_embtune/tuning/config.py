"""The search for settings in a config for `spacy train`: from the config, and back into it."""

import copy
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from thinc.api import Config

from ..finetune.labels import require_contrast
from ..labels import is_exclusive, labels_in, make_targets
from ..training import build_section
from ._candidates import read_candidate
from .sweep import SECONDS, Sweep, Trial, sweep


def sweep_config(
    config: Config, documents: Sequence[Any], *, name: str | None = None, **settings: Any
) -> tuple[str, Sweep]:
    """Search for good settings of the head, the loss and the optimizer in a config. The documents
    are encoded once, with the encoder of the config.

    config (Config): A config for `spacy train`.
    documents (Sequence[Record | Doc]): Labelled documents, with `text` and `cats`.
    name (str | None): The name of the component; None: the only one in the config.
    settings: Arguments of `sweep`.
    RETURNS (tuple[str, Sweep]): The name of the component, and the result.
    RAISES (ValueError): If the config has no such component, if its encoder learns or does not read
        texts, or if there are too few labelled documents.
    """
    resolved = config.interpolate()
    found = [
        key
        for key, section in resolved["components"].items()
        if section.get("factory") == "embtune"
    ]
    if name is None and len(found) != 1:
        raise ValueError(
            f"The config has {len(found)} embtune components{': ' if found else ''}"
            f"{', '.join(found)}. Give one that has one, or its name (--name)."
        )
    name = found[0] if name is None else name
    if name not in found:
        raise ValueError(f"The config has no embtune component {name!r}, only {', '.join(found)}.")
    model = resolved["components"][name]["model"]
    if model["encoder"].get("trainable_layers", 0):
        raise ValueError(
            f"[{name}] the encoder learns (trainable_layers): its vectors cannot be made once for "
            "all settings. Search with trainable_layers = 0."
        )
    encoder = build_section(dict(model["encoder"]))
    if not encoder.attrs.get("reads_texts", False):
        raise ValueError(f"[{name}] its encoder takes Docs, not texts: use SentenceTransformer.v1.")
    cats = [document.cats for document in documents]
    exclusive = resolved["components"][name].get("exclusive_classes")
    labels = labels_in(cats)
    if not labels:
        raise ValueError("None of the documents has a label, so settings cannot be compared.")
    targets = make_targets(
        cats, labels, exclusive=is_exclusive(cats) if exclusive is None else exclusive
    )
    try:
        require_contrast(targets, np.asarray(labels))
    except ValueError as error:
        raise ValueError(
            "All documents are of one class, so settings cannot be compared. Give documents of "
            "another class, or documents with a value of 0.0 for the label."
        ) from error
    begin = time.monotonic()
    encoder.initialize()
    vectors = encoder.ops.to_numpy(encoder.predict([document.text for document in documents]))
    batcher = resolved.get("training", {}).get("batcher", {})
    size = batcher.get("size", 64)
    own = read_candidate(resolved, name)
    size = size if isinstance(size, int) else 64
    # The time limit includes the encoding.
    settings["seconds"] = settings.get("seconds", SECONDS) - (time.monotonic() - begin)
    return name, sweep(vectors, targets, own, batch_size=size, **settings)


def write_candidate(config: Config, name: str, trial: Trial) -> Config:
    """Write the settings of a trial into a copy of a config. If the search started with these
    settings, nothing changes.

    config (Config): The config for `spacy train`, not interpolated, so that its variables stay.
    name (str): The name of the component.
    trial (Trial): The trial.
    RETURNS (Config): The changed copy.
    """
    changed = Config(copy.deepcopy(dict(config)))
    if trial.is_own:
        return changed
    candidate = trial.candidate
    changed["components"][name]["model"]["head"] = candidate.head
    changed["components"][name]["loss"] = candidate.loss
    training = changed["training"]
    training["max_steps"] = max(2 * trial.steps, 200)
    # The optimizer of the search.
    training["optimizer"] = {
        "@optimizers": "Adam.v1",
        "learn_rate": candidate.learn_rate,
        "L2": candidate.weight_decay,
        "L2_is_weight_decay": True,
        "grad_clip": 1.0,
        "use_averages": False,
    }
    return changed
