"""Runs the transformer of a model in another runtime, or with 8-bit integers.

The model is copied without its weights, and the copy's first module is replaced: texts become
tokens, and hidden states become vectors, in the code of sentence-transformers as before.
"""

import contextlib
import copy
import hashlib
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from .._files import atomic_directory, describe_file, is_intact, read_json, write_json
from ._properties import processor_capabilities
from ._sample import compare_on_sample
from ._tokens import PROBES, Features, prepare
from .settings import Backend, Precision

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)

Run = Callable[[list[NDArray[Any]]], NDArray[Any]]

# What is installed for a backend, and the extra that brings it.
MODULES = {"onnx": ("onnx", "onnxruntime"), "openvino": ("openvino",)}
MANIFEST = "manifest.json"
# A conversion that is further away from the model is wrong, not inexact.
LOWEST_COSINE = 0.9999
# Number of parts of a batch that run at the same time, at most.
MOST_PARTS = 4


def check_backend(backend: Backend) -> None:
    """Check that the packages of a backend are installed.

    backend (str): "torch", "onnx" or "openvino".
    RAISES (ValueError): If one of them is missing.
    """
    missing = [module for module in MODULES.get(backend, ()) if find_spec(module) is None]
    if missing:
        raise ValueError(
            f"backend is {backend!r}, which needs {' and '.join(missing)}. Install it: "
            f"pip install 'spacy-embtune[{backend}]'"
        )


def make_runner(
    model: "SentenceTransformer",
    *,
    backend: Backend,
    precision: Precision,
    fingerprint: str,
    folder: Path | None,
) -> "SentenceTransformer":
    """Make a copy of a model that runs in another runtime, or with 8-bit integers. Both share what
    is not converted.

    model (SentenceTransformer): The model.
    backend (str): "torch", "onnx" or "openvino".
    precision (str): "float32", "bfloat16" or "int8".
    fingerprint (str): The fingerprint of the model. Converted files are kept under it.
    folder (Path | None): A directory for converted files; None: they are made anew each time.
    RETURNS (SentenceTransformer): The copy.
    RAISES (ValueError): If the backend is not installed, or the model cannot be converted.
    """
    if backend == "torch":
        return _quantized(model) if precision == "int8" else model
    check_backend(backend)
    if model.device.type != "cpu":
        raise ValueError(
            f"backend = {backend!r} runs on the processor here, but device is {model.device}. Set "
            f'device = "cpu", or backend = "torch".'
        )
    runtime: Any = _Onnx if backend == "onnx" else _OpenVino
    source = _Source(model)
    with _kept(folder, fingerprint, runtime, source, precision) as files:
        runner = _with_first_module(
            model, _as_module(source, runtime.open(files, source, precision))
        )
    worst = float(compare_on_sample(runner, model).min()) if precision == "float32" else 1.0
    if worst < LOWEST_COSINE:
        raise ValueError(
            f"The encoder does not give the same vectors in {backend} (cosine {worst:.4f} with "
            f'those of torch). Use backend = "torch".'
        )
    return runner


def say_cosine(runner: "SentenceTransformer", model: "SentenceTransformer") -> None:
    """Log how near the vectors of a model with 8-bit integers are to the exact ones.

    runner, model (SentenceTransformer): The model with integers, and the exact one.
    """
    found = compare_on_sample(runner, model)
    logger.warning(
        'precision = "int8": over %d sample texts, the cosine with the exact vectors is %.3f on '
        "average, and %.3f at worst.",
        len(found),
        found.mean(),
        found.min(),
    )


def _with_first_module(model: "SentenceTransformer", module: Any) -> "SentenceTransformer":
    """RETURNS (SentenceTransformer): The model with another first module. The rest is shared."""
    made = copy.copy(model)
    first = next(iter(model._modules))
    made._modules = {**model._modules, first: module}
    return made


def _quantized(model: "SentenceTransformer") -> "SentenceTransformer":
    """RETURNS (SentenceTransformer): The model, with 8-bit weights in its linear layers."""
    import torch

    if model.device.type != "cpu":
        raise ValueError(
            f'precision = "int8" runs on the processor, but device is {model.device}. Set device = '
            f'"cpu", or another precision.'
        )
    quantize: Any = torch.ao.quantization.quantize_dynamic
    with warnings.catch_warnings():
        # torch warns that torchao, another package, will replace this function.
        warnings.simplefilter("ignore")
        return quantize(model, {torch.nn.Linear})


def _in_parts(
    n_parts: int,
    run_parts: Callable[[list[list[NDArray[Any]]]], list[NDArray[Any]]],
    run_whole: Run,
) -> Run:
    """Split each batch into parts that run at the same time, each on threads of its own. Threads
    that share one batch wait for each other in each layer, and the more so if one of them has to
    leave its processor to another job.

    n_parts (int): Number of parts at most.
    run_parts (Callable): Runs parts at the same time.
    run_whole (Callable): Runs a batch on all threads. It gets batches of one text.
    RETURNS (Callable): Runs a batch.
    """

    def run(tensors: list[NDArray[Any]]) -> NDArray[Any]:
        n = len(tensors[0])
        if n < 2 or any(len(tensor) != n for tensor in tensors):
            return run_whole(tensors)
        bounds = np.linspace(0, n, min(n, n_parts) + 1).astype(int).tolist()
        parts = [
            [np.ascontiguousarray(tensor[begin:end]) for tensor in tensors]
            for begin, end in pairwise(bounds)
        ]
        return np.concatenate(run_parts(parts))

    return run


class _Source:
    """The first module of a model as a function of tensors.

    model (SentenceTransformer): The model.
    RAISES (ValueError): If the module does not read tokens and return hidden states.
    """

    def __init__(self, model: "SentenceTransformer") -> None:
        self.module: Any = model[0]
        features = prepare(model, PROBES)
        self.tensors = {key: v for key, v in features.items() if hasattr(v, "shape")}
        self.constants = {key: v for key, v in features.items() if key not in self.tensors}
        self.output_name = getattr(self.module, "module_output_name", "token_embeddings")
        if type(self.module).__name__ != "Transformer" or "attention_mask" not in self.tensors:
            raise ValueError(
                f"Only transformers can be converted for another backend. The first module of this "
                f'encoder is {type(self.module).__name__}. Use backend = "torch".'
            )

    @property
    def names(self) -> list[str]:
        """RETURNS (list[str]): The names of the tensors that it takes."""
        return list(self.tensors)

    def as_function(self) -> "torch.nn.Module":
        """RETURNS (Module): Takes the tensors in the order of `names`, returns hidden states."""
        import torch

        source = self

        class Function(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.module = source.module

            def forward(self, *tensors: Any) -> Any:
                features = dict(zip(source.names, tensors, strict=True))
                return self.module({**features, **source.constants})[source.output_name]

        return Function().eval()


@contextlib.contextmanager
def _kept(
    folder: Path | None, fingerprint: str, runtime: Any, source: _Source, precision: Precision
) -> Iterator[Path]:
    """Give the directory of a converted model, which is converted if it is not kept yet.

    RETURNS (Iterator[Path]): The directory. Without a folder, or if the folder cannot be written,
        it is removed afterwards.
    """
    if folder is None:
        with tempfile.TemporaryDirectory() as made:
            runtime.convert(source, Path(made), precision)
            yield Path(made)
        return
    # What decides the files: the model, how it is converted, and the code that converts.
    detail = f"{fingerprint} {precision} {_has_vnni()} {runtime.versions()}"
    path = folder / f"{runtime.name}-{hashlib.sha256(detail.encode()).hexdigest()[:32]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f".{path.name}.lock"):
            if not _is_whole(path):
                with atomic_directory(path) as unfinished:
                    unfinished.mkdir()
                    runtime.convert(source, unfinished, precision)
                    files = {file.name: describe_file(file) for file in unfinished.iterdir()}
                    write_json(unfinished / MANIFEST, {"files": files})
    except OSError as error:
        logger.warning(
            "The encoder was converted for %s, but cannot be kept in %s (%s). Each run converts it "
            "anew.",
            runtime.name,
            folder,
            error,
        )
        with _kept(None, fingerprint, runtime, source, precision) as made:
            yield made
        return
    yield path


def _is_whole(path: Path) -> bool:
    """RETURNS (bool): Whether a converted model is there, and is what was written."""
    files = (read_json(path / MANIFEST) or {}).get("files")
    if not isinstance(files, dict) or not files:
        return False
    return all(is_intact(path / name, entry) for name, entry in files.items())


def _has_vnni() -> bool:
    """RETURNS (bool): Whether the processor adds products of 8-bit integers without overflow."""
    capabilities = processor_capabilities()
    return bool(capabilities.get("avx512_vnni") or capabilities.get("avx_vnni"))


def _as_module(source: _Source, run: Run) -> "torch.nn.Module":
    """RETURNS (Module): A module that takes and returns the features of a Transformer."""
    import torch

    class Runtime(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            # Pooling and the model's own properties read these.
            self.tokenizer = source.module.tokenizer

        def __getattr__(self, name: str) -> Any:
            return getattr(source.module, name)

        def forward(self, features: Features, **kwargs: Any) -> Features:
            tensors = [features[name].numpy() for name in source.names]
            features[source.output_name] = torch.from_numpy(run(tensors))
            return features

    return Runtime()


class _Onnx:
    """Converts to the format ONNX and runs it in ONNX Runtime."""

    name = "onnx"

    @staticmethod
    def versions() -> str:
        return f"{version('onnx')} {version('onnxruntime')} {version('torch')}"

    @staticmethod
    def convert(source: _Source, folder: Path, precision: Precision) -> None:
        import torch

        exact = folder / "model.onnx"
        axes = {name: {0: "texts", 1: "tokens"} for name in [*source.names, "hidden"]}
        with warnings.catch_warnings(), torch.inference_mode():
            # The exporter that torch prefers needs one more package and six times as long; what it
            # exports runs no faster.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                source.as_function(),
                tuple(source.tensors.values()),
                str(exact),
                input_names=source.names,
                output_names=["hidden"],
                dynamic_axes=axes,
                opset_version=18,
                dynamo=False,
            )
        if precision == "int8":
            from onnxruntime.quantization import QuantType, quantize_dynamic

            whole = folder / "whole.onnx"
            exact.rename(whole)
            # On older processors 7 bits, because sums of two products of 8 bits overflow there.
            with _root_logger_silent():
                quantize_dynamic(
                    whole,
                    exact,
                    per_channel=True,
                    reduce_range=not _has_vnni(),
                    weight_type=QuantType.QInt8,
                    op_types_to_quantize=["MatMul"],
                )
            whole.unlink()

    @staticmethod
    def open(folder: Path, source: _Source, precision: Precision) -> Run:
        import onnxruntime
        import torch

        def open_with(n_threads: int) -> Run:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = n_threads
            session = onnxruntime.InferenceSession(
                str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
            )

            def run(tensors: list[NDArray[Any]]) -> NDArray[Any]:
                (hidden,) = session.run(None, dict(zip(source.names, tensors, strict=True)))
                return np.asarray(hidden)

            return run

        n_threads = torch.get_num_threads()
        n_parts = min(n_threads, MOST_PARTS)
        whole = open_with(n_threads)
        if n_parts == 1:
            return whole
        part = open_with(n_threads // n_parts)
        pool = ThreadPoolExecutor(n_parts, "embtune-parts")
        return _in_parts(n_parts, lambda parts: list(pool.map(part, parts)), whole)


@contextlib.contextmanager
def _root_logger_silent() -> Iterator[None]:
    """Hide what is logged on the root logger: ONNX Runtime advises steps for pictures there."""

    def hide(record: logging.LogRecord) -> bool:
        return False

    root = logging.getLogger()
    root.addFilter(hide)
    try:
        yield
    finally:
        root.removeFilter(hide)


class _OpenVino:
    """Converts to the format of OpenVINO and runs it there."""

    name = "openvino"

    @staticmethod
    def versions() -> str:
        return f"{version('openvino')} {version('torch')}"

    @staticmethod
    def convert(source: _Source, folder: Path, precision: Precision) -> None:
        import openvino

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            example = tuple(source.tensors.values())
            converted = openvino.convert_model(source.as_function(), example_input=example)
        openvino.save_model(converted, folder / "model.xml", compress_to_fp16=False)

    @staticmethod
    def open(folder: Path, source: _Source, precision: Precision) -> Run:
        import openvino
        import torch

        # Read whole, because the directory may be removed.
        core = openvino.Core()
        weights = np.fromfile(folder / "model.bin", dtype="uint8")
        model = core.read_model((folder / "model.xml").read_bytes(), openvino.Tensor(weights))

        def compile_with(n_streams: int) -> list[Any]:
            """RETURNS (list): Requests that run at the same time."""
            settings = {
                "INFERENCE_NUM_THREADS": torch.get_num_threads(),
                "NUM_STREAMS": n_streams,
                "INFERENCE_PRECISION_HINT": "bf16" if precision == "bfloat16" else "f32",
            }
            compiled = core.compile_model(model, "CPU", settings)
            return [compiled.create_infer_request() for _ in range(n_streams)]

        n_parts = min(torch.get_num_threads(), MOST_PARTS)
        (alone,) = compile_with(1)

        def whole(tensors: list[NDArray[Any]]) -> NDArray[Any]:
            return np.array(next(iter(alone.infer(tensors).values())))

        if n_parts == 1:
            return whole
        requests = compile_with(n_parts)

        def run_parts(parts: list[list[NDArray[Any]]]) -> list[NDArray[Any]]:
            begun = list(zip(requests, parts, strict=False))
            for request, part in begun:
                request.start_async(part)
            for request, _ in begun:
                request.wait()
            return [np.array(request.get_output_tensor(0).data) for request, _ in begun]

        return _in_parts(n_parts, run_parts, whole)
