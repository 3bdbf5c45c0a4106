"""Reading of labels: from the y of scikit-learn, in all its forms, to `Targets`."""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from .._texts import is_missing
from ..labels import (
    TOLERANCE,
    SparseTargets,
    count_labels,
    find_free_text,
    is_exclusive,
    labels_in,
    make_sparse_targets,
    validate_cats,
)
from ..types import Targets

Kind: TypeAlias = Literal["classes", "matrix", "cats"]
AnyTargets: TypeAlias = Targets | SparseTargets

# Targets with more values than this (documents times labels) hold only what is known.
MOST_DENSE = 2**22


class Labels(NamedTuple):
    """The labels of n documents.

    kind (str): The form of y. "classes": one class for each document. "matrix": one column for each
        label. "cats": one mapping from label to value for each document, as in `doc.cats`.
    classes (ndarray): The L classes or labels, in the order of the columns of `targets`.
    targets (Targets | SparseTargets): The targets, as numpy arrays of shape (n, L); if there are
        many labels, only what is known.
    """

    kind: Kind
    classes: NDArray[Any]
    targets: AnyTargets


def read_labels(
    y: Any,
    *,
    classes: Any = None,
    allow_new: bool = False,
    exclusive: bool | None = None,
    weights: NDArray[Any] | None = None,
) -> Labels:
    """Read the labels of n documents. A missing label is not known; it is not absent.

        >>> labels = read_labels(["B", None, "A"])
        >>> labels.kind, labels.classes.tolist()
        ('classes', ['A', 'B'])
        >>> labels.targets.values.tolist(), labels.targets.known.any(axis=1).tolist()
        ([[0.0, 1.0], [0.0, 0.0], [1.0, 0.0]], [True, False, True])

    y (Any): One class for each document (a list, an array or a Series; None, NaN and pandas' NA
        mean that it is not known); or a matrix with one column for each label (an array or a
        DataFrame, with values from 0 to 1, or NaN); or a list of mappings from label to value, as
        in `doc.cats`; or a list of lists of names, the labels that each document has.
    classes (Any): The classes, in the order of the columns. None: those of y, sorted. The columns
        of a DataFrame are matched by name, those of an array by position.
    allow_new (bool): Whether y may have other classes as well. They are appended to `classes`.
    exclusive (bool | None): Whether a document has exactly one label. None: yes if y has classes,
        or if the values of each labelled document sum to 1.
    weights (ndarray | None): The weight of each document, shape (n,).
    RETURNS (Labels): The labels.
    RAISES (ValueError): If y has another form, an invalid value, or a class that is not known.
    """
    if y is None:
        raise ValueError(
            "This estimator requires y to be passed, but the target y is None: give a class for "
            "each row of X, a matrix of labels, or a list of cats."
        )
    if exclusive not in (None, True, False):
        raise ValueError(f"exclusive_classes is {exclusive!r}: give True, False or None.")
    names = None if classes is None else as_classes(classes)
    targets: AnyTargets
    if issparse(y) and y.shape[0] * y.shape[1] > MOST_DENSE:
        names, targets = _read_sparse(y, names, allow_new, exclusive)
        return Labels("matrix", names, targets._replace(weights=cast(Any, weights)))
    kind, rows, columns = _recognise(y, names, exclusive)
    if kind == "cats":
        names, targets = _read_cats(rows, names, allow_new, exclusive)
    elif kind == "matrix":
        names, targets = _read_matrix(rows, columns, names, allow_new, exclusive)
    else:
        names, targets = _read_classes(rows, names, allow_new, exclusive)
    return Labels(kind, names, targets._replace(weights=cast(Any, weights)))


def _recognise(
    y: Any, classes: NDArray[Any] | None = None, exclusive: bool | None = None
) -> tuple[Kind, Any, NDArray[Any] | None]:
    """Recognise the form of y. A table with one column has classes, unless the column is a label:
    labels are not exclusive, or the column has the name of a class.

    RETURNS (tuple): The form, the rows, and the names of the columns, None if they have no names.
    """
    columns = getattr(y, "columns", None)
    is_label = exclusive is False or (
        classes is not None and columns is not None and set(columns) <= set(classes.tolist())
    )
    if issparse(y):
        y = y.toarray()
    if hasattr(y, "to_numpy"):
        y = y.to_numpy()
    elif isinstance(y, Iterator):
        y = list(y)
    cats = _as_cats(y)
    if cats is None:
        cats = _lists_as_cats(y)
    if cats is not None:
        return "cats", cats, None
    array = _as_array(y)
    if array.ndim == 2 and array.shape[1] == 1 and not is_label:
        from sklearn.exceptions import DataConversionWarning

        warnings.warn(
            "A column-vector y was passed when a 1d array was expected. Please change the shape "
            "of y to (n_samples,), for example using ravel().",
            DataConversionWarning,
            stacklevel=5,
        )
        array = array.ravel()
    if array.ndim == 1:
        return "classes", array, None
    if array.ndim != 2:
        raise ValueError(
            f"y has the shape {array.shape}. Give one class for each row of X, or a matrix with "
            "one column for each label."
        )
    return "matrix", array, None if columns is None else as_classes(columns, name="y.columns")


def _as_cats(y: Any) -> list[Mapping[str, float]] | None:
    """RETURNS (list | None): The cats of each document, empty where they are missing; None if y has
    another form."""
    if isinstance(y, str | Mapping) or not isinstance(y, Iterable) or getattr(y, "ndim", 1) != 1:
        return None
    rows = y.tolist() if isinstance(y, np.ndarray) else list(y)
    if not any(isinstance(row, Mapping) for row in rows):
        return None
    return [{} if is_missing(row) else _drop_missing(row) for row in rows]


def _drop_missing(row: Any) -> Any:
    if not isinstance(row, Mapping):
        return row
    return {label: value for label, value in row.items() if not is_missing(value)}


def _lists_as_cats(y: Any) -> list[Mapping[str, float]] | None:
    """RETURNS (list | None): The cats of documents whose labels are lists of names, empty where
    they are missing; None if y has another form, or each list has exactly one name."""
    if isinstance(y, str | Mapping) or not isinstance(y, Iterable) or getattr(y, "ndim", 1) != 1:
        return None
    rows = y.tolist() if isinstance(y, np.ndarray) else list(y)
    lists = [row for row in rows if isinstance(row, list | tuple | set | frozenset | np.ndarray)]
    names = [label for row in lists for label in row if not is_missing(label)]
    if not names or not all(isinstance(label, str) for label in names):
        return None
    is_column = len(lists) == len(rows) and all(len(row) == 1 for row in lists)
    if is_column and not isinstance(lists[0], set | frozenset):
        return None
    n_others = sum(not is_missing(row) for row in rows) - len(lists)
    if n_others:
        raise ValueError(
            f"y has {len(lists)} lists of labels and {n_others} other values. Give a list of "
            "labels for each row, and None where nothing is known."
        )
    return [
        {} if is_missing(row) else {label: 1.0 for label in row if not is_missing(label)}
        for row in rows
    ]


def _as_array(y: Any) -> NDArray[Any]:
    try:
        array = np.asarray(y)
    except ValueError as error:
        raise ValueError(f"y cannot be read as an array ({error}). Give rows of one length.") from (
            error
        )
    if array.dtype.kind in "US" and not isinstance(y, np.ndarray):
        # numpy has turned missing values in a list of strings into "nan" or "None".
        array = np.asarray(y, dtype=object)
    return array


def as_classes(classes: Any, *, name: str = "classes") -> NDArray[Any]:
    """Check the names of classes.

        >>> as_classes(["B", "A"]).tolist()
        ['B', 'A']

    classes (Any): The names, either all strings or all numbers.
    name (str): The name of the argument in error messages.
    RETURNS (ndarray): The names in the same order, shape (L,).
    RAISES (ValueError): If there is no name, a missing name, or a name that occurs twice.
    """
    is_list = isinstance(classes, Iterable) and not isinstance(classes, str | Mapping | set)
    values = list(classes) if is_list else []
    if not values or any(isinstance(value, Iterable) != isinstance(value, str) for value in values):
        raise ValueError(f"{name} is {classes!r}: give a list of the classes.")
    if any(is_missing(value) for value in values):
        raise ValueError(f"{name} has a missing value: {values!r}. Leave it out.")
    n_strings = sum(isinstance(value, str) for value in values)
    if 0 < n_strings < len(values):
        raise ValueError(f"{name} mixes strings with other values: {values!r}. Give strings only.")
    if len(set(values)) < len(values):
        raise ValueError(f"{name} names a class twice: {values!r}.")
    return np.asarray(values)


def add_classes(known: NDArray[Any], classes: Any) -> NDArray[Any]:
    """Append new classes to known ones.

        >>> add_classes(np.array(["A", "B"]), ["C", "A"]).tolist()
        ['A', 'B', 'C']

    known (ndarray): The known classes, shape (L,).
    classes (Any): Names of classes, known or new; None: no classes.
    RETURNS (ndarray): The known classes, and then the new ones.
    RAISES (ValueError): If the names are invalid.
    """
    if classes is None:
        return known
    old = known.tolist()
    new = [label for label in as_classes(classes).tolist() if label not in old]
    return as_classes([*old, *new]) if new else known


def _read_classes(
    values: NDArray[Any], classes: NDArray[Any] | None, allow_new: bool, exclusive: bool | None
) -> tuple[NDArray[Any], AnyTargets]:
    from sklearn.utils import assert_all_finite
    from sklearn.utils.multiclass import check_classification_targets

    if exclusive is False:
        raise ValueError(
            "exclusive_classes = False, but y has one class for each document. Give a matrix with "
            "one column for each label, or a list of cats."
        )
    if values.dtype.kind == "f":
        assert_all_finite(values, input_name="y", allow_nan=True)
    missing = find_missing(values)
    known = values[~missing]
    if values.dtype.kind == "O":
        known = np.asarray(known.tolist())
        if known.dtype.kind in "US" and not all(isinstance(v, str) for v in values[~missing]):
            raise ValueError(
                "y mixes strings with other values. Give all classes as strings, and None or NaN "
                "where the class is missing."
            )
    if known.dtype.kind == "U":
        fault = find_free_text(known.tolist())
        if fault is not None:
            raise ValueError(f"y does not hold labels. {fault}")
    if len(known):
        check_classification_targets(known)
    classes = _settle(np.unique(known), classes, allow_new)
    column = {label: j for j, label in enumerate(classes.tolist())}
    columns = np.asarray([column[v] for v in known.tolist()], dtype=np.intp)
    ones = np.ones(len(known), dtype="float32")
    targets = SparseTargets(
        np.flatnonzero(~missing), columns, ones, ~missing, len(classes), exclusive=True
    )
    return classes, _dense_if_small(targets)


def _dense_if_small(targets: SparseTargets) -> AnyTargets:
    n_docs, n_labels = targets.shape
    return targets if n_docs * n_labels > MOST_DENSE else targets.select(range(n_docs))


def _read_sparse(
    y: Any, classes: NDArray[Any] | None, allow_new: bool, exclusive: bool | None
) -> tuple[NDArray[Any], AnyTargets]:
    """RETURNS (tuple): The labels and targets of a sparse matrix. Its entries are present labels,
    and all others are known to be absent."""
    matrix = y.tocoo()
    names = np.arange(matrix.shape[1]) if classes is None else classes
    values = np.asarray(matrix.data, dtype="float32")
    is_valid = (values >= 0) & (values <= 1)
    if len(names) != matrix.shape[1] or not is_valid.all() or allow_new:
        # The rare cases are those of dense matrices.
        return _read_matrix(y.toarray(), None, classes, allow_new, exclusive)
    order = np.lexsort((matrix.col, matrix.row))
    targets = SparseTargets(
        matrix.row[order].astype(np.intp),
        matrix.col[order].astype(np.intp),
        values[order],
        np.ones(matrix.shape[0], dtype=bool),
        matrix.shape[1],
        exclusive=bool(exclusive),
    )
    sums = targets.row_sums()
    if exclusive is None:
        targets = targets._replace(exclusive=bool((abs(sums - 1.0) < TOLERANCE).all()))
    elif exclusive and (sums > 1.0 + TOLERANCE).any():
        return _read_matrix(y.toarray(), None, classes, allow_new, exclusive)
    return names, targets


def _read_matrix(
    array: NDArray[Any],
    columns: NDArray[Any] | None,
    classes: NDArray[Any] | None,
    allow_new: bool,
    exclusive: bool | None,
) -> tuple[NDArray[Any], Targets]:
    try:
        values = np.where(find_missing(array), np.nan, array).astype("float32")
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"y is a matrix with values that are not numbers ({error}). Give 1 where a document "
            "has the label of the column, 0 where it does not, and NaN where that is not known."
        ) from error
    if columns is None:
        columns = np.arange(values.shape[1]) if classes is None else classes
    if len(columns) != values.shape[1]:
        raise ValueError(
            f"y has {values.shape[1]} columns for {len(columns)} labels. Give one column for each "
            "label."
        )
    known = ~np.isnan(values)
    outside = known & ~((values >= 0) & (values <= 1))
    if outside.any():
        row, j = np.argwhere(outside)[0].tolist()
        raise ValueError(
            f"Row {row} of y has the value {values[row, j]:g} for the label {columns[j]!s}. Give "
            "numbers from 0 (absent) to 1 (present), and NaN where it is not known. (If each "
            "document has one class, give y as one column of classes. The columns of multi-output "
            "targets are read as labels.)"
        )
    values = np.where(known, values, 0.0).astype("float32")
    sums = values.sum(axis=1)
    if exclusive is None:
        labelled = sums[known.any(axis=1)]
        n_labels = int(known.any(axis=0).sum())
        exclusive = n_labels > 1 and bool((abs(labelled - 1.0) < TOLERANCE).all())
    if exclusive:
        for row in np.flatnonzero(sums > 1.0 + TOLERANCE).tolist():
            raise ValueError(
                f"Row {row} of y: the classes are exclusive, but the values sum to {sums[row]:g}. "
                "Set exclusive_classes = False if a document may have several labels."
            )
        # Where the known values sum to 1, the other labels are absent.
        known[sums >= 1.0 - TOLERANCE] = True
    made = Targets(cast(Any, values), cast(Any, known.astype("float32")), exclusive)
    classes = _settle(columns, classes, allow_new)
    return classes, _arrange(made, columns, classes)


def _arrange(targets: Targets, columns: NDArray[Any], classes: NDArray[Any]) -> Targets:
    """RETURNS (Targets): The targets with one column for each class. A class without a column is
    absent where classes are exclusive and the values sum to 1, and not known elsewhere."""
    place = {label: j for j, label in enumerate(classes.tolist())}
    values = np.zeros((len(targets.values), len(classes)), dtype="float32")
    known = np.zeros_like(values)
    if targets.exclusive:
        known[np.asarray(targets.values).sum(axis=1) >= 1.0 - TOLERANCE] = 1.0
    at = [place[label] for label in columns.tolist()]
    values[:, at], known[:, at] = targets.values, targets.known
    return targets._replace(values=cast(Any, values), known=cast(Any, known))


def _read_cats(
    cats: Sequence[Mapping[str, float]],
    classes: NDArray[Any] | None,
    allow_new: bool,
    exclusive: bool | None,
) -> tuple[NDArray[Any], AnyTargets]:
    for i, mapping in enumerate(cats):
        validate_cats(mapping, where=f"Row {i} of y")
    classes = _settle(np.asarray(labels_in(cats)), classes, allow_new)
    if exclusive is None:
        exclusive = is_exclusive(cats)
    targets = make_sparse_targets(
        cats, classes.tolist(), exclusive=exclusive, where=lambda i: f"Row {i} of y"
    )
    return classes, _dense_if_small(targets)


def n_documents(targets: AnyTargets) -> int:
    """RETURNS (int): The number of documents."""
    return targets.shape[0] if isinstance(targets, SparseTargets) else len(targets.values)


def require_contrast(targets: AnyTargets, classes: NDArray[Any]) -> None:
    """Check that the documents differ in their labels, so that there is something to learn.

        >>> require_contrast(read_labels(["A", "B"]).targets, np.array(["A", "B"]))

    targets (Targets | SparseTargets): The targets of n documents.
    classes (ndarray): The L classes or labels.
    RAISES (ValueError): If all documents are of one class, or if no label is known to be present in
        one document and absent in another.
    """
    if isinstance(targets, SparseTargets):
        is_known = targets.is_known()
        rows: Any = targets.row_digests()[is_known]
        carried = np.unique(targets.columns[targets.values > 0])
    else:
        values, known = np.asarray(targets.values), np.asarray(targets.known)
        is_known = np.asarray(known.any(axis=1))
        rows = np.concatenate([values[is_known], known[is_known]], axis=1)
        carried = np.flatnonzero(values.any(axis=0))
    if not is_known.any():
        raise ValueError("y has no known label: give the labels that are known.")
    if targets.exclusive:
        if len(classes) > 1 and (rows != rows[0]).any():
            return
        names = ", ".join(map(repr, classes[carried].tolist()))
        raise ValueError(
            f"y has one class only, {names}, so there is nothing to learn. Give rows of two or "
            "more classes."
        )
    present, absent = np.asarray(count_labels(targets))
    if not ((present > 0) & (absent > 0)).any():
        raise ValueError(
            "y has one class only: each label is either present in all rows where it is known, or "
            "absent in all of them, so there is nothing to learn. Give rows of both."
        )


def find_missing(values: NDArray[Any]) -> NDArray[Any]:
    """Find the missing values of an array.

        >>> find_missing(np.array([1.0, np.nan])).tolist()
        [False, True]

    values (ndarray): The values.
    RETURNS (ndarray of bool): Whether each value is missing, in the shape of the values.
    """
    if values.dtype.kind == "f":
        return np.isnan(values)
    if values.dtype.kind != "O":
        return np.zeros(values.shape, dtype=bool)
    flat = [is_missing(value) for value in values.ravel()]
    return np.asarray(flat, dtype=bool).reshape(values.shape)


def _settle(found: NDArray[Any], classes: NDArray[Any] | None, allow_new: bool) -> NDArray[Any]:
    """RETURNS (ndarray): The given classes, or else the classes found in y."""
    if classes is None:
        if len(found) == 0:
            raise ValueError(
                "y has no class: all values are missing. Give the labels that are known."
            )
        return found
    unknown = set(found.tolist()) - set(classes.tolist())
    if not unknown:
        return classes
    if allow_new:
        return add_classes(classes, sorted(unknown))
    raise ValueError(
        f"y has classes that are not known: {', '.join(sorted(map(repr, unknown))[:10])}. Known "
        f"are {', '.join(map(repr, classes.tolist()[:10]))}. Give new classes to partial_fit with "
        "classes=[...]; the old ones may be left out."
    )
