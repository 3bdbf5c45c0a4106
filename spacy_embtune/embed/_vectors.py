"""Embed texts with one component. The same texts in the same order give the same bits."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from spacy.language import Language

from ..about import __version__
from ..pipeline import EmbTune

WHAT = ("base", "tuned", "scores")

# The number of batches between two updates of a progress bar.
BATCHES_AT_ONCE = 8


class Embedder:
    """Applies one component of a pipeline to texts.

    what (tuple[str, ...]): The kinds of arrays to compute, in the order of `WHAT`: "base" and
        "tuned" vectors, and "scores", the probabilities of the labels.
    labels (tuple[str, ...]): The labels of the component, the columns of the scores.
    """

    def __init__(
        self, nlp: Language, component: EmbTune, what: Iterable[str], batch_size: int | None
    ) -> None:
        """Initialize the embedder.

        nlp (Language): The pipeline.
        component (EmbTune): Its component.
        what (Iterable[str]): The kinds of arrays to compute.
        batch_size (int | None): Texts of 32 tokens per forward pass. None: the pipeline's
            setting.
        RAISES (ValueError): When the component cannot compute them.
        """
        self.nlp = nlp
        self.component = component
        self.labels = component.labels
        self.what = _check_what(component, what)
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}: give a number of at least 1.")
        shim = component.encoder
        usual = nlp.batch_size if shim is None else shim.settings.batch_size
        self.batch_size = usual if batch_size is None else batch_size
        layer = component.model.get_ref("encoder")
        self._reads_texts = bool(layer.attrs.get("reads_texts", False))

    def embed(
        self, texts: Sequence[str], advance: Callable[[int], None]
    ) -> dict[str, NDArray[Any]]:
        """Embed texts. Each distinct text is embedded once.

        texts (Sequence[str]): The n texts, at least one.
        advance (Callable): Called with the number of texts that were embedded since the last call.
        RETURNS (dict[str, ndarray]): An array of n rows for each kind, float32. A text without a
            vector, such as an empty text, has zeros, and scores that favour no label.
        RAISES (ValueError): When a vector is not finite.
        """
        n_equal: dict[str, int] = {}
        for text in texts:
            n_equal[text] = n_equal.get(text, 0) + 1
        distinct = list(n_equal)
        step = self.batch_size * BATCHES_AT_ONCE
        pieces = []
        for start in range(0, len(distinct), step):
            some = distinct[start : start + step]
            pieces.append(self._predict(some))
            advance(sum(n_equal[text] for text in some))
        position = {text: row for row, text in enumerate(distinct)}
        rows = [position[text] for text in texts]
        return {key: np.concatenate([p[key] for p in pieces])[rows] for key in self.what}

    def _predict(self, texts: list[str]) -> dict[str, NDArray[Any]]:
        inputs: Any = texts if self._reads_texts else list(self._make_docs(texts))
        with self._settings():
            prediction = self.component.predict(inputs, with_spans=False)
        found = {"base": prediction.base, "tuned": prediction.tuned, "scores": prediction.cats}
        # Adding zero turns the negative zeros of texts without a vector into zeros.
        vectors = {key: cast("NDArray[Any]", found[key]) + np.float32(0) for key in self.what}
        for key, rows in vectors.items():
            finite = np.isfinite(rows).all(axis=1)
            if not finite.all():
                text = texts[int(np.flatnonzero(~finite)[0])]
                raise ValueError(
                    f"[{self.component.name}] the {key} of {text[:60]!r} are not finite numbers. "
                    f"The weights of the pipeline or of its encoder are damaged. Train it again."
                )
        return vectors

    def _make_docs(self, texts: list[str]) -> Iterator[Any]:
        """YIELDS (Doc): Docs that the components before this one annotated."""
        later = self.nlp.pipe_names[self._place() :]
        return self.nlp.pipe(texts, batch_size=self.batch_size, disable=later)

    def _place(self) -> int:
        # The name of the component may differ from its name in the pipeline.
        return [pipe is self.component for _, pipe in self.nlp.pipeline].index(True)

    @contextmanager
    def _settings(self) -> Iterator[None]:
        """Use the batch size of this run, and not the encoder's cache: its vectors would come from
        other batches and differ in the last bits."""
        shim = self.component.encoder
        if shim is None:
            yield
            return
        with shim.encoding_anew(self.batch_size):
            yield

    def identify(self) -> str:
        """RETURNS (str): SHA-256 of all parts of the pipeline that affect vectors and tokens."""
        component, layer = self.component, self.component.model.get_ref("encoder")
        if component.encoder is None and layer.has_dim("nO") is None:
            # Such a layer learns its width from the first text, and its bytes hold the width.
            self._predict([""])
        parts: list[Any] = [
            layer.to_bytes() if component.encoder is None else component.encoder.identify(),
            cast(Any, self.nlp.tokenizer).to_bytes(exclude=["vocab"]),
            (component.extension, component.base_extension),
        ]
        if self.what != ("base",):
            parts += [component.model.get_ref("head").to_bytes(), sorted(component.cfg.items())]
        if not self._reads_texts:
            parts.append(self.nlp.vocab.vectors.to_bytes())
            for name, pipe in self.nlp.pipeline[: self._place()]:
                to_bytes = getattr(pipe, "to_bytes", None)
                parts += [name, to_bytes(exclude=["vocab"]) if to_bytes else ""]
        digest = hashlib.sha256()
        for part in parts:
            digest.update(part if isinstance(part, bytes) else repr(part).encode("utf8"))
        return digest.hexdigest()

    def environment(self) -> dict[str, str]:
        """RETURNS (dict[str, str]): The versions, device and precision that affect the last bits of
        vectors."""
        found = {"spacy-embtune": __version__, "spacy": version("spacy")}
        if self.component.encoder is not None:
            encoder = self.component.encoder.encoder
            packages = ["sentence-transformers", "transformers", "torch"]
            found |= {package: version(package) for package in packages}
            found |= {"device": encoder.device_type, "precision": encoder.numerics}
        return found


def _check_what(component: EmbTune, what: Iterable[str]) -> tuple[str, ...]:
    wanted = set(what)
    if not wanted or not wanted <= set(WHAT):
        given = ", ".join(sorted(wanted)) or "nothing"
        raise ValueError(f"{given} is asked for: give one or more of {', '.join(WHAT)}.")
    if wanted & {"tuned", "scores"} and not component.is_trained:
        raise ValueError(
            f"[{component.name}] is not trained, so it has no tuned vectors or scores. Train it, "
            "or ask for base vectors only."
        )
    if "scores" in wanted and not component.labels:
        raise ValueError(
            f"[{component.name}] has no scores to give: it was trained on pairs only and has no "
            "labels. Leave out the scores."
        )
    return tuple(key for key in WHAT if key in wanted)
