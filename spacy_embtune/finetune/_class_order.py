"""The order of `classes_`: sorted, because much of scikit-learn relies on it (soft voting, the
scorer roc_auc_ovr). Where y is a matrix, the order is that of its columns instead."""

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from thinc.api import Model, Optimizer

from ..labels import SparseTargets
from .labels import AnyTargets, Kind, Labels, add_classes, as_classes


def merge_classes(known: NDArray[Any], classes: Any, kind: Kind) -> NDArray[Any]:
    """Add new classes to known ones.

    >>> merge_classes(np.array(["B", "C"]), ["A"], "classes").tolist()
    ['A', 'B', 'C']
    >>> merge_classes(np.array(["B", "C"]), ["A"], "matrix").tolist()
    ['B', 'C', 'A']

    known (ndarray): The known classes, shape (L,).
    classes (Any): Names of classes, known or new; None: no classes.
    kind (str): The form of the first y.
    RETURNS (ndarray): All classes: sorted, or, if y is a matrix, with the new ones at the end.
    RAISES (ValueError): If the names are invalid.
    """
    merged = add_classes(known, classes)
    return merged if kind == "matrix" else merged[np.argsort(merged, kind="stable")]


def sort_columns(labels: Labels) -> Labels:
    """Sort the classes of labels, unless y is a matrix.

    labels (Labels): The labels.
    RETURNS (Labels): The same labels with sorted classes and the columns of the targets in the same
        order.
    """
    if labels.kind == "matrix":
        return labels
    order = np.argsort(labels.classes, kind="stable")
    return labels._replace(classes=labels.classes[order], targets=_take(labels.targets, order))


def name_columns(labels: Labels, y: Any, classes: Any) -> Labels:
    """Match the columns of a matrix without names to the classes that came with it.

    labels (Labels): The labels, read as if column j of y belonged to `labels.classes[j]`.
    y (Any): What they were read from.
    classes (Any): The classes that the user gave together with y, or None.
    RETURNS (Labels): The labels, in which column j of y belongs to `classes[j]`, if `classes` names
        all columns. Otherwise the same labels.
    """
    if labels.kind != "matrix" or classes is None or hasattr(y, "columns"):
        return labels
    given = as_classes(classes).tolist()
    known = labels.classes.tolist()
    if given == known or set(given) != set(known):
        return labels
    order = np.asarray([given.index(label) for label in known])
    return labels._replace(targets=_take(labels.targets, order))


def order_output(head: Model[Any, Any], optimizer: Optimizer, order: NDArray[Any]) -> None:
    """Reorder the labels of a head and the moments of their weights.

    head (Model): A head whose last layer scores L labels. It is changed in place.
    optimizer (Optimizer): Its optimizer.
    order (ndarray): The present position of each label, in the new order, shape (L,).
    """
    layer = head.layers[-1]
    for name in layer.param_names:
        value: Any = layer.get_param(name)
        layer.set_param(name, value[order])
        for moments in (optimizer.mom1, optimizer.mom2):
            moment: Any = moments.get((layer.id, name))
            if moment is not None:
                shaped = moment.reshape(value.shape)[order]
                moments[layer.id, name] = shaped.reshape(moment.shape)


def _take(targets: AnyTargets, order: NDArray[Any]) -> AnyTargets:
    """RETURNS (Targets | SparseTargets): The targets with their columns in this order."""
    if isinstance(targets, SparseTargets):
        return targets._replace(columns=np.argsort(order)[targets.columns])
    values, known = np.asarray(targets.values), np.asarray(targets.known)
    return targets._replace(
        values=cast(Any, np.ascontiguousarray(values[:, order])),
        known=cast(Any, np.ascontiguousarray(known[:, order])),
    )
