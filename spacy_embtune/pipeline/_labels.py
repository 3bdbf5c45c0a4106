"""Add labels to a component."""

from collections.abc import Sequence
from typing import Any

from spacy.errors import Errors


def add_labels(pipe: Any, labels: Sequence[str]) -> int:
    """Add labels to a component. The weights of its other labels are kept.

    pipe (EmbTune): The component.
    labels (Sequence[str]): The labels. It may have some of them already.
    RETURNS (int): How many of the labels are new.
    RAISES (ValueError): When a label is no string, or the head cannot be resized.
    """
    known = set(pipe.labels)
    new = []
    for label in labels:
        if not isinstance(label, str):
            raise ValueError(Errors.E187)
        if label not in known:
            known.add(label)
            new.append(label)
    if not new:
        return 0
    for label in new if not pipe.is_resizable else new[:1]:
        try:
            pipe._allow_extra_label()
        except ValueError as error:
            raise ValueError(
                f"[{pipe.name}] cannot add the label {label!r}: its head has a fixed number of "
                f"labels. Pass all labels to initialize, or, for a PyTorchHead, give its "
                f"module a method resize_output(n_out). {error}"
            ) from error
        if not pipe.is_resizable:
            _append(pipe, label)
    if pipe.is_resizable:
        if pipe.model.has_dim("nO"):
            pipe.model.attrs["resize_output"](pipe.model, len(pipe.labels) + len(new))
        for label in new:
            _append(pipe, label)
    pipe.bank.clear()
    return len(new)


def _append(pipe: Any, label: str) -> None:
    pipe.cfg["labels"].append(label)
    if pipe.cfg["label_counts"] is not None:
        for counts in pipe.cfg["label_counts"]:
            counts.append(0.0)
    pipe.vocab.strings.add(label)
