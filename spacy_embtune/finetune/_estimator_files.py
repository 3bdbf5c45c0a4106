"""Save a fitted estimator in a directory, and load it. Nothing is pickled.

estimator.json         the manifest: class, parameters, classes, counts of the fit, and the SHA-256
                       of the arrays
arrays.safetensors     the weights of the head, the state of its optimizer and of the random numbers
"""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from thinc.api import Model, Optimizer

from .._files import (
    StorageError,
    atomic_path,
    load_manifest,
    replaced_manifest,
    require_intact,
    sha256_of_file,
)

DESCRIPTION = "estimator.json"
ARRAYS = "arrays.safetensors"
FORMAT = 1

_WHAT = "estimator"
_CURE = "Save the estimator again (to_disk)."


def save(path: str | Path, description: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
    """Write the directory of an estimator. After an error the directory does not load.

    path (str | Path): The directory; it is created when it does not exist.
    description (dict[str, Any]): "class" and everything else that JSON can hold, see `to_json`.
    arrays (dict[str, ndarray]): The arrays by name.
    RAISES (ValueError): When `path` is a file, or JSON cannot hold the description.
    """
    from safetensors.numpy import save_file

    path = Path(path)
    if path.exists() and not path.is_dir():
        raise ValueError(f"{path} is a file. Give a directory to save the estimator in.")
    try:
        json.dumps(description)
    except TypeError as error:
        raise ValueError(
            f"A parameter of the estimator cannot be written as JSON ({error}). Use numbers, "
            "strings, booleans and None, or save it with joblib instead."
        ) from error
    path.mkdir(parents=True, exist_ok=True)
    with replaced_manifest(path / DESCRIPTION) as manifest:
        with atomic_path(path / ARRAYS) as unfinished:
            save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, str(unfinished))
        sha256 = sha256_of_file(path / ARRAYS)
        manifest.update({"format": FORMAT, **description, "sha256": sha256})


def load(path: str | Path, *, kind: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read the directory of an estimator.

    path (str | Path): The directory.
    kind (str): The name of the class that the directory must hold.
    RETURNS (tuple[dict[str, Any], dict[str, ndarray]]): Description and arrays.
    RAISES (StorageError): When files are missing or damaged, the class is another one, or a newer
        version saved it.
    """
    from safetensors.numpy import load_file

    path = Path(path)
    keys = {"class": str, "sha256": str}
    manifest = load_manifest(path / DESCRIPTION, what=_WHAT, newest=FORMAT, keys=keys, cure=_CURE)
    found = manifest["class"]
    if found != kind:
        raise StorageError(f"{path} holds a {found}, not a {kind}: call {found}.from_disk.")
    require_intact(path / ARRAYS, {"sha256": manifest["sha256"]}, what=_WHAT, cure=_CURE)
    return manifest, load_file(str(path / ARRAYS))


@contextlib.contextmanager
def reading(path: str | Path) -> Iterator[None]:
    """Turn errors about missing or wrong entries of a description into a StorageError.

    path (str | Path): The directory that the description was read from.
    RAISES (StorageError): When an entry is missing or has a wrong type.
    """
    try:
        yield
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise StorageError(
            f"The estimator in {path} is damaged: {DESCRIPTION} does not describe one "
            f"({type(error).__name__}: {error}). Save it again."
        ) from error


def to_json(value: Any) -> Any:
    """Turn a parameter into a value for JSON. Numbers of numpy become numbers of Python. A dict
    becomes a list of its items, because keys in JSON are strings. An array becomes a list.

    >>> to_json({1: np.float64(0.5)})
    {'items': [[1, 0.5]]}

    value (Any): The parameter.
    RETURNS (Any): The value.
    """
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {"items": [[to_json(k), to_json(v)] for k, v in value.items()]}
    return value


def from_json(value: Any) -> Any:
    """Read a parameter that `to_json` wrote.

    >>> from_json({"items": [[1, 0.5]]})
    {1: 0.5}

    value (Any): The value.
    RETURNS (Any): The parameter.
    """
    if isinstance(value, dict):
        return {k: from_json(v) for k, v in value["items"]}
    return value


def head_to_arrays(head: Model[Any, Any], optimizer: Optimizer | None) -> dict[str, NDArray[Any]]:
    """Copy the parameters of a head, and the moments of its optimizer, into arrays.

    head (Model): An initialized head.
    optimizer (Optimizer | None): Its optimizer. None: only the parameters are copied.
    RETURNS (dict[str, ndarray]): The arrays by the position of their layer and their name.
    """
    arrays: dict[str, NDArray[Any]] = {}
    ops: Any = head.ops
    for i, node in enumerate(head.walk()):
        for name in node.param_names:
            if not node.has_param(name):
                continue
            arrays[f"head.{i}.{name}"] = ops.to_numpy(node.get_param(name)).copy()
            key = (node.id, name)
            if optimizer is not None and key in optimizer.mom1:
                arrays[f"mom1.{i}.{name}"] = ops.to_numpy(optimizer.mom1[key]).copy()
                arrays[f"mom2.{i}.{name}"] = ops.to_numpy(optimizer.mom2[key]).copy()
                arrays[f"steps.{i}.{name}"] = np.asarray(optimizer.nr_update[key])
    return arrays


def arrays_to_head(
    arrays: dict[str, NDArray[Any]], head: Model[Any, Any], optimizer: Optimizer | None = None
) -> None:
    """Set the parameters of a head, and the moments of its optimizer.

    arrays (dict[str, ndarray]): What `head_to_arrays` gave.
    head (Model): An initialized head with the same settings.
    optimizer (Optimizer | None): Its optimizer.
    RAISES (StorageError): When an array is missing or has another shape.
    """
    ops: Any = head.ops
    for i, node in enumerate(head.walk()):
        for name in node.param_names:
            if not node.has_param(name):
                continue
            array: Any = arrays.get(f"head.{i}.{name}")
            if array is None or array.shape != node.get_param(name).shape:
                raise StorageError(
                    f"The arrays of the layer {node.name} ({name}) are not those of this head."
                )
            node.set_param(name, ops.asarray(array))
            if optimizer is not None and f"mom1.{i}.{name}" in arrays:
                key = (node.id, name)
                optimizer.mom1[key] = ops.asarray(arrays[f"mom1.{i}.{name}"])
                optimizer.mom2[key] = ops.asarray(arrays[f"mom2.{i}.{name}"])
                optimizer.nr_update[key] = int(arrays[f"steps.{i}.{name}"].item())


def keep_moments(
    arrays: dict[str, NDArray[Any]], head: Model[Any, Any], optimizer: Optimizer
) -> None:
    """Give a new, larger output layer the moments of the old one. The moments of new weights are
    zero.

    arrays (dict[str, ndarray]): What `head_to_arrays` gave before.
    head (Model): The head, whose last layer is the new one.
    optimizer (Optimizer): Its optimizer.
    """
    ops: Any = head.ops
    layer = head.layers[-1]
    position = list(head.walk()).index(layer)
    for name in layer.param_names:
        if f"mom1.{position}.{name}" not in arrays:
            continue
        key = (layer.id, name)
        for moments, prefix in ((optimizer.mom1, "mom1"), (optimizer.mom2, "mom2")):
            old = arrays[f"{prefix}.{position}.{name}"].ravel()
            new = np.zeros(layer.get_param(name).size, dtype="float32")
            new[: len(old)] = old
            moments[key] = ops.asarray(new)
        optimizer.nr_update[key] = int(arrays[f"steps.{position}.{name}"].item())
    ids = {node.id for node in head.walk()}
    for kept in (optimizer.mom1, optimizer.mom2, optimizer.nr_update):
        for key in [key for key in kept if key[0] not in ids]:
            del kept[key]


def random_to_arrays(rng: Any) -> dict[str, NDArray[Any]]:
    """Write the state of a random number generator to arrays.

    rng (RandomState): The generator.
    RETURNS (dict[str, ndarray]): Its state.
    """
    state = rng.get_state(legacy=False)
    numbers = [state["state"]["pos"], state["has_gauss"]]
    return {
        "random.key": state["state"]["key"],
        "random.position": np.asarray(numbers, dtype="int64"),
        "random.gauss": np.asarray([state["gauss"]], dtype="float64"),
    }


def arrays_to_random(arrays: dict[str, NDArray[Any]]) -> Any:
    """Create a random number generator from its state.

    >>> rng = np.random.RandomState(0)
    >>> copy = arrays_to_random(random_to_arrays(rng))
    >>> bool(copy.uniform() == rng.uniform())
    True

    arrays (dict[str, ndarray]): What `random_to_arrays` gave.
    RETURNS (RandomState): The generator.
    """
    position, has_gauss = arrays["random.position"].tolist()
    rng = np.random.RandomState()
    key, gauss = arrays["random.key"], arrays["random.gauss"].item()
    rng.set_state(("MT19937", key, position, has_gauss, gauss))
    return rng


def classes_to_json(classes: NDArray[Any]) -> dict[str, Any]:
    """Turn an array of classes into values for JSON.

    classes (ndarray): The classes, shape (L,).
    RETURNS (dict[str, Any]): The classes with their dtype.
    """
    kind = "str" if classes.dtype.kind in "USO" else classes.dtype.name
    return {"dtype": kind, "values": classes.tolist()}


def classes_from_json(data: dict[str, Any]) -> NDArray[Any]:
    """Read an array of classes that `classes_to_json` wrote.

    >>> classes_from_json(classes_to_json(np.asarray(["a", "b"]))).tolist()
    ['a', 'b']

    data (dict[str, Any]): What `classes_to_json` gave.
    RETURNS (ndarray): The classes, shape (L,).
    """
    return np.asarray(data["values"], dtype=data["dtype"])
