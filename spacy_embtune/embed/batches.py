"""Embed batches of columns: what Ray Data, Spark and Daft hand to a function of the user."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from spacy.language import Language

from ..pipeline import find_component
from ._chunks import memory_zone
from ._cluster import import_ray
from ._packing import load_model, pack_pipeline
from ._vectors import Embedder


class EmbedBatch:
    """Adds vectors to batches of columns. The pipeline is loaded with the first batch, once in a
    process. It knows nothing of Ray, Spark or Daft, and can be pickled.

    >>> import numpy as np
    >>> import spacy
    >>> nlp = spacy.blank("en")
    >>> _ = nlp.vocab.set_vector("bread", np.ones(2))
    >>> encoder = {"@architectures": "spacy-embtune.DocVectors.v1", "source": "vectors"}
    >>> pipe = nlp.add_pipe("embtune", config={"model": {"encoder": encoder}})
    >>> embed = EmbedBatch(nlp, what=["base"])
    >>> embed({"text": np.array(["bread", ""])})["base"].tolist()
    [[1.0, 1.0], [0.0, 0.0]]
    >>> embed.vectors(["bread"])["base"].shape
    (1, 2)
    """

    def __init__(
        self,
        model: Any,
        *,
        name: str | None = None,
        what: Iterable[str] = ("tuned",),
        text_field: str = "text",
        batch_size: int | None = None,
        dtype: str = "float32",
        n_threads: int | None = None,
    ) -> None:
        """Initialize the function, without loading the pipeline.

        model (Language | bytes | str | Path): The pipeline, or a directory that all workers see, or
            the name of an installed pipeline.
        name (str | None): The name of the component. None: there must be exactly one.
        what (Iterable[str]): One or more of "base", "tuned" and "scores", see `embed_corpus`.
        text_field (str): The column of the texts. None and NaN are empty texts.
        batch_size (int | None): Texts of 32 tokens per forward pass. None: the pipeline's setting.
        dtype (str): The type of the vectors: "float32" or "float16". Scores are float32.
        n_threads (int | None): Threads of torch. None: they stay as they are.
        """
        self._model = model
        self._name = name
        self._what = tuple(what)
        self._text_field = text_field
        self._batch_size = batch_size
        self._dtype = np.dtype(dtype)
        self._n_threads = n_threads
        self._embedder: Embedder | None = None

    def __getstate__(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): The settings. A pipeline in memory travels as bytes."""
        state = {**vars(self), "_embedder": None}
        if isinstance(self._model, Language):
            state["_model"] = pack_pipeline(self._model)
        return state

    @property
    def labels(self) -> tuple[str, ...]:
        """RETURNS (tuple[str, ...]): The labels, the columns of the scores."""
        return self._load().labels

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Add vectors to a batch.

        batch (Mapping[str, Any]): The columns by name, n rows each.
        RETURNS (dict[str, Any]): The columns, and an array of n rows for each kind in `what`.
        RAISES (ValueError): When the batch has no column of texts.
        """
        if self._text_field not in batch:
            raise ValueError(
                f"The batch has no column {self._text_field!r}, only "
                f"{', '.join(map(repr, batch))}. Name the column of the texts (text_field)."
            )
        return {**batch, **self.vectors(batch[self._text_field])}

    def vectors(self, texts: Iterable[Any]) -> dict[str, NDArray[Any]]:
        """Embed texts.

        texts (Iterable[str | None]): The n texts.
        RETURNS (dict[str, ndarray]): An array of n rows for each kind in `what`. An empty text has
            zeros.
        """
        embedder = self._load()
        # spaCy refuses numpy's strings.
        given = [str(text) if isinstance(text, str) else "" for text in texts]
        # A batch without rows has the columns of the others.
        with memory_zone(embedder.nlp):
            found = embedder.embed(given or [""], lambda n: None)
        return {
            key: rows[: len(given)].astype(np.float32 if key == "scores" else self._dtype)
            for key, rows in found.items()
        }

    def _load(self) -> Embedder:
        if self._embedder is None:
            if self._n_threads is not None:
                import torch

                torch.set_num_threads(self._n_threads)
            nlp = load_model(self._model)
            component = find_component(nlp, self._name)
            self._embedder = Embedder(nlp, component, self._what, self._batch_size)
            if not isinstance(self._model, str | Path):
                # Bytes are not needed twice.
                self._model = nlp
        return self._embedder


class _EmbedStored(EmbedBatch):
    """An `EmbedBatch` whose pipeline lies in Ray's object store."""

    def __init__(self, stored: list[Any], **settings: Any) -> None:
        """stored (list): The reference to the pipeline, in a list so that Ray leaves it as it
        is."""
        ray = import_ray()
        super().__init__(ray.get(stored[0]), **settings)


def embed_dataset(
    ds: Any,
    model: Any,
    *,
    name: str | None = None,
    what: Iterable[str] = ("tuned",),
    text_field: str = "text",
    batch_size: int | None = None,
    dtype: str = "float32",
    rows: int = 1024,
    workers: int | tuple[int, int] = 1,
    cpus_per_worker: int = 1,
    gpus_per_worker: float = 0,
) -> Any:
    """Add vectors to a dataset of Ray Data. The pipeline is sent to the workers, and each loads it
    once. Nothing is computed before the dataset is read or written.

    ds (ray.data.Dataset): The dataset, with a column of texts.
    model (Language | str | Path): The pipeline, its directory, or the name of an installed one.
    name, what, text_field, batch_size, dtype: As for `EmbedBatch`.
    rows (int): The rows of a batch. Texts of similar length are put together within it.
    workers (int | tuple[int, int]): The number of workers, or the least and the most.
    cpus_per_worker (int): Processors for each worker, which computes with as many threads.
    gpus_per_worker (float): GPUs, or a share of one, for each worker.
    RETURNS (ray.data.Dataset): The dataset with a column for each kind in `what`.
    RAISES (ImportError): When Ray is not installed. The message names the extra.
    RAISES (OSError): When there is no such pipeline.
    """
    ray = import_ray()
    packed = model if isinstance(model, bytes) else pack_pipeline(load_model(model))
    settings = {
        "name": name,
        "what": tuple(what),
        "text_field": text_field,
        "batch_size": batch_size,
        "dtype": dtype,
        "n_threads": cpus_per_worker,
    }
    return ds.map_batches(
        _EmbedStored,
        fn_constructor_args=([ray.put(packed)],),
        fn_constructor_kwargs=settings,
        batch_size=rows,
        batch_format="numpy",
        concurrency=workers,
        num_cpus=cpus_per_worker,
        num_gpus=gpus_per_worker or None,
    )
