"""Keeps the vectors of any text encoder on disk."""

import logging
import os
from numbers import Number
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin

from ..encoder import DEFAULT_MAX_BYTES, VectorStore
from .encoder import read_texts

logger = logging.getLogger(__name__)


def cached(
    encoder: Any = None,
    path: Any = None,
    *,
    max_bytes: int = DEFAULT_MAX_BYTES,
    name: str | None = None,
    pipeline: Any = None,
) -> "CachedEncoder":
    """Keep the vectors of an encoder in a directory, so that it encodes each distinct text once, in
    this run and in later ones. The encoder itself does not change.

    encoder (Any): An object with `transform(texts)` that returns a matrix, one row a text.
    path (str | PathLike): The directory, see `VectorStore`. Encoders may share a directory. As in
        embetter, the directory may also be the first argument.
    max_bytes (int): Bound for the size of the directory. Beyond it the oldest vectors are dropped.
    name (str | None): Tells the vectors of this encoder from those of others, see `CachedEncoder`.
    pipeline (Any): The encoder, as embetter calls it. Then `name` is the directory.
    RETURNS (CachedEncoder): Use it in place of the encoder.
    RAISES (ValueError): If nothing tells the encoder from others, or the bound is too low.
    RAISES (TypeError): If it is no encoder.

    >>> import tempfile
    >>> from sklearn.feature_extraction.text import HashingVectorizer
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import FunctionTransformer
    >>> dense = FunctionTransformer(lambda matrix: matrix.toarray())
    >>> words = make_pipeline(HashingVectorizer(n_features=16), dense)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     encoder = cached(words, f"{folder}/vectors", name="hashed words")
    ...     for _ in range(2):
    ...         vectors = encoder.transform(["bread and soup", "a guitar", "a guitar"])
    >>> vectors.shape, encoder.n_requested, encoder.n_encoded
    ((3, 16), 6, 2)
    """
    if pipeline is not None:
        rest = encoder if path is None else path
        encoder, path, name = pipeline, name if rest is None else rest, None
    if _is_path(encoder) and not _is_path(path):
        encoder, path = path, encoder
    made = CachedEncoder(encoder, path, max_bytes=max_bytes, name=name)
    made.fit()
    return made


class CachedEncoder(TransformerMixin, BaseEstimator):
    """Encodes texts and keeps their vectors in a directory, see `cached`. Other attributes and
    methods are those of the encoder.

    Vectors in the directory are kept apart by `name`, if it is given, and by the `fingerprint` and
    `precision_used` of the encoder, if it has them, as `spacy_embtune.finetune.SentenceEncoder`
    has. Without name and fingerprint, they are kept apart by the class and the parameters of the
    encoder. Then the parameters must be plain values, and the encoder must not have learned
    anything.

    encoder, path, max_bytes, name: See `cached`.

    Attributes:
        n_requested (int): Number of texts whose vectors were asked for.
        n_encoded (int): Number of texts that the encoder had to encode.
    """

    def __init__(
        self,
        encoder: Any,
        path: "str | os.PathLike[str]",
        *,
        max_bytes: int = DEFAULT_MAX_BYTES,
        name: str | None = None,
    ) -> None:
        self.encoder = encoder
        self.path = path
        self.max_bytes = max_bytes
        self.name = name

    def fit(self, X: Any = None, y: Any = None) -> Self:
        """Check the parameters. There is nothing to learn. The encoder is not fitted, because its
        stored vectors would then be wrong.

        RETURNS (Self): The transformer.
        RAISES (ValueError): If nothing tells the encoder from others, or the bound is too low.
        RAISES (TypeError): If it is no encoder, or the path is no path.
        """
        if not callable(getattr(self.encoder, "transform", None)):
            raise TypeError(
                f"{self.encoder!r:.60} has no transform(texts). Give an encoder such as "
                f"spacy_embtune.finetune.SentenceEncoder."
            )
        if not _is_path(self.path):
            raise TypeError(f"{self.path!r:.60} is no path: give the directory of the vectors.")
        if not _has_fingerprint(self.encoder) and self.name is None:
            _describe(self.encoder)
        self._get_store()
        return self

    def partial_fit(self, X: Any = None, y: Any = None) -> Self:
        """Check the parameters, as `fit` does.

        RETURNS (Self): The transformer.
        """
        return self.fit()

    def transform(self, X: Any, y: Any = None) -> NDArray[Any]:
        """Read the vectors of texts, and encode texts that have none yet, with a progress bar if
        there are many.

        X (Any): Texts: a list, an array, a Series, or a DataFrame of one column.
        y (Any): Not used.
        RETURNS (ndarray): Their vectors, of the encoder's type, shape (n, d).
        RAISES (StoreError): If the directory cannot be opened or read.
        RAISES (ValueError): If X has values that are not texts.
        """
        self.fit()
        texts = read_texts(X)
        if not texts:
            # Only the encoder knows the width and type of its vectors.
            rows: NDArray[Any] = self.encoder.transform(texts)
            return rows
        n_before = self.n_encoded

        def encode(missing: list[str]) -> Any:
            encoded = self.encoder.transform(missing)
            self._n_encoded = self.n_encoded + len(missing)
            return encoded

        rows = self._get_store().lookup(
            texts,
            encode,
            fingerprint=self._identify(),
            precision=str(getattr(self.encoder, "precision_used", "")),
            progress="Encoding texts",
        )
        self._n_requested = self.n_requested + len(texts)
        n_encoded = self.n_encoded - n_before
        logger.info("%d texts, %d of them encoded now; store: %s", len(texts), n_encoded, self.path)
        return rows

    @property
    def n_requested(self) -> int:
        """RETURNS (int): Number of texts whose vectors were asked for."""
        return int(vars(self).get("_n_requested", 0))

    @property
    def n_encoded(self) -> int:
        """RETURNS (int): Number of texts that the encoder had to encode."""
        return int(vars(self).get("_n_encoded", 0))

    def _identify(self) -> str:
        """RETURNS (str): What tells the vectors of this encoder from others in the directory."""
        fingerprint = self.encoder.fingerprint if _has_fingerprint(self.encoder) else None
        if self.name is not None:
            return f"name {self.name!r} {fingerprint or ''}"
        # Unchanged, so that the component's encoder finds the same vectors.
        return str(fingerprint) if fingerprint else _describe(self.encoder)

    def _get_store(self) -> VectorStore:
        key = (os.fspath(self.path), self.max_bytes)
        made: tuple[Any, VectorStore] | None = vars(self).get("_made")
        if made is None or made[0] != key:
            self._made = made = (key, VectorStore(*key))
        return made[1]

    def __getattr__(self, name: str) -> Any:
        # While an object is copied it has no encoder yet. Python asks for private names itself.
        if name.startswith("_") or "encoder" not in vars(self):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self.encoder, name)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.input_tags.string = True
        return tags


def _is_path(value: Any) -> bool:
    return isinstance(value, str | os.PathLike)


def _has_fingerprint(encoder: Any) -> bool:
    # Without reading the value, because that may load a model.
    return hasattr(type(encoder), "fingerprint") or "fingerprint" in getattr(
        encoder, "__dict__", ()
    )


def _describe(encoder: Any) -> str:
    """RETURNS (str): Class and parameters of an encoder.
    RAISES (ValueError): If they do not decide its vectors.
    """
    kind = f"{type(encoder).__module__}.{type(encoder).__qualname__}"
    cure = "Give a name that stands for this very encoder: cached(encoder, path, name=...)."
    if not hasattr(encoder, "get_params"):
        raise ValueError(f"Nothing tells one {kind} from another: it has no fingerprint. {cure}")
    params = encoder.get_params()
    for key, value in params.items():
        if not (value is None or isinstance(value, str | Number)):
            raise ValueError(
                f"{kind} cannot be told from others by its parameters: {key} is a "
                f"{type(value).__name__}. {cure}"
            )
    attributes = getattr(encoder, "__dict__", ())
    learned = [key for key in attributes if key.endswith("_") and not key.startswith("_")]
    if learned:
        raise ValueError(
            f"{kind} cannot be told from others by its parameters: it has learned "
            f"{', '.join(learned)}. {cure}"
        )
    # Versions of numpy print numbers differently.
    plain = {k: v.item() if isinstance(v, np.generic) else v for k, v in params.items()}
    return f"{kind} {sorted(plain.items())!r}"
