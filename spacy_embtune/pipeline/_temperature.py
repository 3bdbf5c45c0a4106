"""Find the temperature of a component from documents that it was not trained on."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from spacy.training import Example

from ..labels import dense_if_small, make_sparse_targets
from ..metrics import fit_temperature
from .rows import score_rows

# One number is learned, but from fewer documents it would be mostly chance.
LEAST = 20


def find_temperature(pipe: Any, units: Iterable[tuple[Example, Any]]) -> float:
    """Find the temperature T with the lowest log loss of the labels, if raw scores are divided by
    T, see `metrics.fit_temperature`.

    Documents whose texts the component remembers from its training are left out, because a
    component is more certain of them than of new documents.

    pipe (EmbTune): The component.
    units (Iterable[tuple[Example, Any]]): Labelled documents or spans, each with what the encoder
        reads: the Doc that earlier components have processed, or a text.
    RETURNS (float): The temperature.
    RAISES (ValueError): When fewer than 20 labelled documents are new to the component, it is not
        trained, or no loss trained its output layer.
    """
    units = list(units)
    if not pipe.is_trained:
        raise ValueError(f"[{pipe.name}] is not trained yet. Train it before calibrate.")
    if not pipe.predicts_labels:
        raise ValueError(
            f"[{pipe.name}] cannot be calibrated: its losses do not train the output layer. Use a "
            "loss on labels, such as spacy-embtune.cross_entropy.v1."
        )
    exclusive = bool(pipe.cfg["exclusive_classes"])
    n_seen = 0
    if pipe.seen is not None and units:
        is_seen = pipe.seen.recognize([example.text for example, _ in units])
        n_seen = int(is_seen.sum())
        units = [unit for unit, seen in zip(units, is_seen, strict=True) if not seen]
    targets = make_sparse_targets(
        [example.reference.cats for example, _ in units], pipe.labels, exclusive=exclusive
    )
    known = targets.is_known()
    if known.sum() < LEAST:
        raise ValueError(
            f"[{pipe.name}] calibrate needs at least {LEAST} labelled documents that the component "
            f"was not trained on, but there are {int(known.sum())}"
            + (f"; {n_seen} others were in its training corpus." if n_seen else ".")
        )
    encoder: Any = pipe.model.get_ref("encoder")
    base = pipe.model.ops.to_numpy(encoder.predict([read for _, read in units]))
    has_vector = np.flatnonzero(base.any(axis=1))
    temperature = fit_temperature(
        score_rows(pipe, base[has_vector]), dense_if_small(targets.subset(has_vector))
    )
    if temperature is None:
        raise ValueError(
            f"[{pipe.name}] cannot be calibrated: the documents carry none of its labels, or its "
            "output layer gives all labels the same score."
        )
    return temperature
