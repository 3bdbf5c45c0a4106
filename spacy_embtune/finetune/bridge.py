"""Between the worlds: a fitted tuner as a component of a pipeline, and back."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from spacy.language import Language

from ..losses import CosinePairs, CrossEntropy, Preserve, Sum, SupervisedContrastive
from ..pipeline import EmbTune
from . import _estimator_files as storage
from ._base import HeadTuner
from .cached import CachedEncoder
from .encoder import SentenceEncoder
from .tuners import ContrastiveTuner, FeedForwardTuner

_PAIR_LOSSES: dict[type, str] = {
    SupervisedContrastive: "supervised_contrastive",
    CosinePairs: "cosine_pairs",
}


def to_component(
    tuner: Any,
    nlp: Language,
    *,
    name: str = "embtune",
    encoder: Any = None,
    labels: Sequence[str] | None = None,
    config: dict[str, Any] | None = None,
) -> EmbTune:
    """Add a component to a pipeline whose head is that of a fitted tuner.

    tuner (HeadTuner | Pipeline): A fitted FeedForwardTuner or ContrastiveTuner, or a scikit-learn
        pipeline that ends in one, behind a `SentenceEncoder` or nothing.
    nlp (Language): The pipeline.
    name (str): The component's name in it.
    encoder (SentenceEncoder | str | None): What made the vectors that the tuner was fitted on: the
        estimator, or a model's name or directory. None: that of the scikit-learn pipeline, else
        all-MiniLM-L6-v2.
    labels (Sequence[str] | None): Names of the labels. None: the tuner's classes, as strings.
    config (dict | None): More settings of the component, such as {"set_cats": True}, and of its
        encoder, such as {"model": {"encoder": {"save_weights": False}}}.
    RETURNS (EmbTune): The component, trained.
    RAISES (NotFittedError): If the tuner is not fitted.
    RAISES (ValueError): If there is no tuner, the encoder makes vectors of another width than it
        was fitted on, or config says what the tuner says.
    """
    encoder, tuner = _split(tuner, encoder)
    check_is_fitted(tuner, "head_")
    labels = [str(c) for c in tuner.classes_.tolist()] if labels is None else list(labels)
    if len(set(labels)) != len(tuner.classes_):
        raise ValueError(
            f"The tuner knows {len(tuner.classes_)} classes, but the labels are {labels!r}. Give "
            "one different label for each, in the order of classes_."
        )
    given = dict(config or {})
    model = dict(given.pop("model", {}))
    for name_of, part in (("", given), ("model.", model)):
        for key in ("loss", "exclusive_classes", "head"):
            if key in part:
                raise ValueError(
                    f"config sets {name_of}{key}, which the tuner has settled. Set it on the tuner "
                    "before it is fitted."
                )
    settings = {
        **given,
        "exclusive_classes": tuner.exclusive_classes_,
        "model": {
            "@architectures": "spacy-embtune.EmbTune.v1",
            **model,
            "encoder": {**_encoder_config(encoder), **model.get("encoder", {})},
            "head": tuner._head_config,
        },
        "loss": tuner.loss_config(),
    }
    pipe = cast(EmbTune, nlp.add_pipe("embtune", name=name, config=settings))
    try:
        _fill(pipe, tuner, labels)
    except BaseException:
        nlp.remove_pipe(name)
        raise
    return pipe


def _fill(pipe: EmbTune, tuner: HeadTuner, labels: list[str]) -> None:
    ops = pipe.model.ops
    encoder, head = pipe.model.get_ref("encoder"), pipe.model.get_ref("head")
    encoder.initialize()
    width = encoder.get_dim("nO")
    if width != tuner.n_features_in_:
        raise ValueError(
            f"The tuner was fitted on vectors of width {tuner.n_features_in_}, the encoder makes "
            f"some of width {width}. Give the encoder that made them: encoder=..."
        )
    for label in labels:
        pipe.add_label(label)
    # Initialized for its shapes only.
    head.initialize(X=ops.alloc2f(1, width), Y=cast(Any, ops.alloc2f(1, len(labels))))
    storage.arrays_to_head(storage.head_to_arrays(tuner.head_, None), head)
    pipe.model.set_dim("nO", len(labels), force=True)
    pipe.model.set_ref("output_layer", head.maybe_get_ref("output_layer"))
    pipe.cfg.update(
        exclusive_classes=tuner.exclusive_classes_,
        label_counts=tuner.label_counts_.tolist(),
        is_trained=True,
    )


def to_estimator(pipe: EmbTune) -> HeadTuner:
    """Make a fitted tuner of a trained component. Its encoder stays behind: see
    `SentenceEncoder(name)`, or `nlp.pipe` and `doc._.embedding`. So do the optimizer and its
    settings, and a `class_weight` of a dict; classes that were numbers are strings, as labels are.

    pipe (EmbTune): The component; its head is FeedForward or Contrastive.
    RETURNS (FeedForwardTuner | ContrastiveTuner): The tuner; `classes_` are the labels.
    RAISES (ValueError): If it is not trained, or its head or loss is of another kind.
    """
    if not pipe.is_trained:
        raise ValueError(f"[{pipe.name}] is not trained yet: there is nothing to make a tuner of.")
    head = pipe.model.get_ref("head")
    arguments = _loss_arguments(pipe.loss, head.name)
    tuner: HeadTuner
    if head.name == "feed_forward":
        _, hidden, drop, _ = head.layers
        tuner = FeedForwardTuner(
            hidden_dim=head.get_dim("nH"),
            dropout=_dropout_rate(drop),
            activation=cast(Any, hidden.name),
            exclusive_classes=pipe.cfg["exclusive_classes"],
            **arguments,
        )
    elif head.name == "contrastive" and head.attrs["residual"]:
        _, hidden, drop, *_ = head.layers
        is_projected = head.get_dim("nH") != head.get_dim("nI")
        tuner = ContrastiveTuner(
            hidden_dim=head.get_dim("nH") if is_projected else None,
            hidden_width=hidden.get_dim("nO"),
            dropout=_dropout_rate(drop),
            exclusive_classes=pipe.cfg["exclusive_classes"],
            **arguments,
        )
    else:
        raise ValueError(
            f"[{pipe.name}] its head is {head.name!r}: only FeedForward and (residual) Contrastive "
            "heads have an estimator."
        )
    tuner._random = check_random_state(None)
    tuner._set_labels(
        np.asarray(pipe.labels),
        kind="classes" if pipe.cfg["exclusive_classes"] else "cats",
        exclusive=bool(pipe.cfg["exclusive_classes"]),
        counts=np.asarray(pipe.cfg["label_counts"], dtype="float32"),
    )
    tuner._make_head(head.get_dim("nI"), tuner.head_config())
    # What the mean was made of, for a partial_fit to go on from: at least so many documents.
    tuner._n_seen = float(tuner.label_counts_.sum(axis=0).max(initial=0.0))
    tuner.n_steps_ = 0
    storage.arrays_to_head(storage.head_to_arrays(head, None), tuner.head_)
    return tuner


def _split(tuner: Any, encoder: Any) -> tuple[Any, Any]:
    """RETURNS (tuple): Encoder and tuner of a scikit-learn pipeline, or what was given."""
    steps = [step for _, step in getattr(tuner, "steps", [])]
    if steps:
        between = [type(step).__name__ for step in steps[1:-1]]
        if between:
            raise ValueError(
                f"Between the encoder and the tuner stand {', '.join(between)}, which a component "
                "has no place for. Fit the tuner on the encoder's vectors themselves."
            )
        tuner = steps[-1]
        if encoder is None and len(steps) > 1:
            encoder = steps[0]
    if not isinstance(tuner, HeadTuner):
        raise ValueError(
            f"{type(tuner).__name__} is no tuner with a head for a component. Give a fitted "
            "FeedForwardTuner or ContrastiveTuner, or a pipeline that ends in one."
        )
    return encoder, tuner


def _encoder_config(encoder: Any) -> dict[str, Any]:
    section: dict[str, Any] = {"@architectures": "spacy-embtune.SentenceTransformer.v1"}
    if isinstance(encoder, CachedEncoder):
        # The same vectors, from the same directory.
        if encoder.name is None:
            section["cache_dir"] = str(Path(encoder.path).absolute())
            section["cache_dir_bytes"] = encoder.max_bytes
        encoder = encoder.encoder
    if encoder is None:
        return section
    if isinstance(encoder, str):
        return {**section, "name": encoder}
    if not isinstance(encoder, SentenceEncoder):
        raise ValueError(
            f"{type(encoder).__name__} is no encoder that a component has. Give a SentenceEncoder, "
            "or the name or directory of a sentence-transformers model."
        )
    if encoder.quantize:
        raise ValueError("A component's encoder cannot be quantized: use quantize=False.")
    return {**section, "name": str(encoder.name), "precision": encoder.precision}


def _dropout_rate(drop: Any) -> float:
    rate = drop.attrs.get("fixed_dropout_rate", drop.attrs.get("dropout_rate", 0.0))
    return float(rate)


def _loss_arguments(loss: Any, head: str) -> dict[str, Any]:
    """RETURNS (dict): The parameters of a tuner with this loss, as far as it has such. Without any
    the tuner goes on learning with its default."""
    if head == "feed_forward":
        if not isinstance(loss, CrossEntropy):
            return {}
        return {"class_weight": loss.class_weight, "label_smoothing": loss.label_smoothing}
    terms: Any = loss.terms if isinstance(loss, Sum) else ((1.0, loss),)
    preserve = sum(weight for weight, term in terms if isinstance(term, Preserve))
    labels = {
        _PAIR_LOSSES[type(term)]: (weight, term)
        for weight, term in terms
        if type(term) in _PAIR_LOSSES and weight != 0
    }
    if not labels:
        return {}
    is_mixed = labels.keys() >= {"supervised_contrastive", "cosine_pairs"}
    first = "supervised_contrastive" if is_mixed else next(iter(labels))
    weight, term = labels[first]
    # A tuner has the (first) loss on labels with a weight of 1.
    arguments = {
        "loss": "mixed" if is_mixed else first,
        "negatives": term.negatives,
        "preserve": preserve / weight,
    }
    if isinstance(term, SupervisedContrastive):
        arguments["temperature"] = term.temperature
    return arguments
