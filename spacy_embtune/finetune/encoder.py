"""Texts to vectors as a scikit-learn transformer."""

import copy
from collections.abc import Iterable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin

from .._texts import is_missing
from ..encoder import Backend, EncoderSettings, Precision, TextEncoder, encode_distinct


class SentenceEncoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Encodes texts with a frozen sentence-transformers model. There is nothing to fit. The model
    is loaded when it is first needed. Pickles contain the settings only.

    name (str): A directory or the name of a model, see `EncoderSettings`.
    device (str | None): A torch device. None: a GPU if thinc uses one, else the processor.
    quantize (bool): The same as precision = "int8", as embetter calls it. This costs quality: for
        all-MiniLM-L6-v2 the cosine with the exact vectors is .94 on average with backend "torch".
        On a processor with native bfloat16, bfloat16 is nearly as fast and exact.
    num_threads (int | None): Number of threads that torch uses; None does not change it.
    precision (str): "float32", "bfloat16", "int8" or "auto", see
        `spacy_embtune.encoder.EncoderSettings`.
    batch_size (int): Size of a forward pass, see `spacy_embtune.encoder.EncoderSettings`.
    show_progress (bool): Whether to show a progress bar.
    revision, trust_remote_code, prompt, prompt_name: See `spacy_embtune.encoder.EncoderSettings`.
    task, max_seq_length, truncate_dim: See `spacy_embtune.encoder.EncoderSettings`.
    attn_implementation, model_kwargs, backend: See `spacy_embtune.encoder.EncoderSettings`.
    pool_windows (bool): Whether a text that is longer than the window gets the mean of its parts,
        see `spacy_embtune.encoder.EncoderSettings`. False: it is cut, with a warning.

    >>> encoder = SentenceEncoder()
    >>> encoder.transform(["bread and soup", "a guitar"]).shape
    (2, 384)
    """

    def __init__(
        self,
        name: str = "all-MiniLM-L6-v2",
        device: str | None = None,
        quantize: bool = False,
        num_threads: int | None = None,
        *,
        precision: Precision = "auto",
        batch_size: int = 32,
        show_progress: bool = False,
        revision: str | None = None,
        trust_remote_code: bool = False,
        prompt: str | None = None,
        prompt_name: str | None = None,
        task: str | None = None,
        max_seq_length: int | None = None,
        truncate_dim: int | None = None,
        attn_implementation: str | None = None,
        model_kwargs: dict[str, Any] | None = None,
        backend: Backend = "torch",
        pool_windows: bool = False,
    ) -> None:
        self.name = name
        self.device = device
        self.quantize = quantize
        self.num_threads = num_threads
        self.precision = precision
        self.batch_size = batch_size
        self.show_progress = show_progress
        self.revision = revision
        self.trust_remote_code = trust_remote_code
        self.prompt = prompt
        self.prompt_name = prompt_name
        self.task = task
        self.max_seq_length = max_seq_length
        self.truncate_dim = truncate_dim
        self.attn_implementation = attn_implementation
        self.model_kwargs = model_kwargs
        self.backend = backend
        self.pool_windows = pool_windows

    def fit(self, X: Any, y: Any = None) -> Self:
        """Load the model; there is nothing to learn.

        X (Any): Not used.
        RETURNS (Self): The encoder.
        """
        _ = self.encoder
        return self

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Load the model, as `fit` does.

        RETURNS (Self): The encoder.
        """
        return self.fit(X)

    def transform(self, X: Any, y: Any = None) -> NDArray[Any]:
        """Encode texts, each distinct one once.

        X (Any): Texts: a list, an array, a Series, or a DataFrame of one column.
        y (Any): Not used.
        RETURNS (ndarray): Their vectors, float32, shape (n, d); zeros for an empty text.
        RAISES (ValueError): If there is no such model, or X has values that are not texts.
        """
        texts = read_texts(X)
        encoder = self.encoder
        progress = "Encoding texts" if self.show_progress else None

        def encode(missing: list[str]) -> NDArray[Any]:
            return encoder.encode(missing, progress=progress)

        return encode_distinct(texts, encode, encoder.width)

    @property
    def encoder(self) -> TextEncoder:
        """RETURNS (TextEncoder): The encoder, loaded again if the settings changed."""
        settings = EncoderSettings(
            name=str(self.name),
            precision="int8" if self.quantize else self.precision,
            batch_size=self.batch_size,
            device=None if self.device is None else str(self.device),
            revision=self.revision,
            trust_remote_code=self.trust_remote_code,
            prompt=self.prompt,
            prompt_name=self.prompt_name,
            task=self.task,
            max_seq_length=self.max_seq_length,
            truncate_dim=self.truncate_dim,
            attn_implementation=self.attn_implementation,
            model_kwargs=self.model_kwargs,
            backend=self.backend,
            pool_windows=self.pool_windows,
        )
        loaded: tuple[Any, TextEncoder] | None = getattr(self, "_loaded", None)
        if loaded is None or loaded[0] != settings:
            loaded = (settings, TextEncoder.load(settings))
            self._loaded = loaded
        if self.num_threads:
            import torch

            torch.set_num_threads(self.num_threads)
        return loaded[1]

    @property
    def fingerprint(self) -> str:
        """RETURNS (str): Tells encoders apart: equal if the weights are equal, see
        `spacy_embtune.encoder.fingerprint_of`."""
        return self.encoder.fingerprint

    @property
    def precision_used(self) -> str:
        """RETURNS (str): The numeric type in which it computes on this machine, and what else
        affects the last bits of the vectors."""
        return self.encoder.numerics

    @property
    def _n_features_out(self) -> int:
        return self.encoder.width

    def __sklearn_clone__(self) -> "SentenceEncoder":
        # The frozen model is shared. Otherwise a search would load it for each fit.
        made = type(self)(**{k: copy.deepcopy(v) for k, v in self.get_params(deep=False).items()})
        if "_loaded" in vars(self):
            made._loaded = self._loaded
        return made

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = dict(super().__getstate__())
        state.pop("_loaded", None)
        return state

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


def read_texts(X: Any, *, name: str = "X") -> list[str]:
    """Convert texts to a list of strings.

    X (Any): A list, an array, a Series, or a DataFrame of one column. None and NaN count as an
        empty text.
    name (str): Name of the argument, for error messages.
    RETURNS (list[str]): The texts.
    RAISES (ValueError): If X is a single text, or has values that are not texts.

    >>> read_texts(("a text", None))
    ['a text', '']
    """
    if isinstance(X, str):
        raise ValueError(f"{name} is a single text: give a list of texts, such as [{X[:20]!r}].")
    array = X.to_numpy() if hasattr(X, "to_numpy") else X
    if isinstance(array, np.ndarray) and array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    # Some columns of data sets have __getitem__ only.
    is_listed = isinstance(array, Iterable) or hasattr(array, "__getitem__")
    if not is_listed or getattr(array, "ndim", 1) == 0:
        raise ValueError(f"{name} is {X!r:.60}, a {type(X).__name__}: give a list of texts.")
    texts = []
    for i, text in enumerate(array):
        missing = is_missing(text)
        if not missing and not isinstance(text, str):
            raise ValueError(
                f"{name}[{i}] is {text!r:.60}, a {type(text).__name__}, not a text. Give a list, "
                "an array or a Series of strings, or a DataFrame of one column."
            )
        texts.append("" if missing else str(text))
    return texts
