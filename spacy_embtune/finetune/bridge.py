"""Convert a fitted tuner into a component of a pipeline, and back."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from spacy.language import Language

from ..labels import label_name
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
    """Add a component to a pipeline that has the head of a fitted tuner.

        tuner = FeedForwardTuner().fit(SentenceEncoder().transform(texts), labels)
        to_component(tuner, spacy.blank("en"))

    tuner (HeadTuner | Pipeline): A fitted FeedForwardTuner or ContrastiveTuner, or a scikit-learn
        pipeline that ends in one, behind a `SentenceEncoder` or nothing.
    nlp (Language): The pipeline.
    name (str): The component's name in the pipeline.
    encoder (SentenceEncoder | str | None): The encoder of the vectors that the tuner was fitted on:
        the estimator, or the name or directory of a model. None: the encoder of the scikit-learn
        pipeline, else all-MiniLM-L6-v2.
    labels (Sequence[str] | None): Names of the labels. None: the tuner's classes, named as in
        files: 1.0 is "1", and True is "true".
    config (dict[str, Any] | None): More settings of the component, such as {"set_cats": True}, and
        of its encoder, such as {"model": {"encoder": {"save_weights": False}}}.
    RETURNS (EmbTune): The component, trained.
    RAISES (NotFittedError): When the tuner is not fitted.
    RAISES (ValueError): When there is no tuner, the width of the encoder's vectors is not the one
        that the tuner was fitted on, or config contains a setting of the tuner.
    """
    encoder, tuner = _split(tuner, encoder)
    check_is_fitted(tuner, "head_")
    if labels is None:
        labels = [label_name(c) or str(c) for c in tuner.classes_.tolist()]
    labels = list(labels)
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
                    f"config sets {name_of}{key}, which the tuner defines. Set it on the tuner "
                    "before fit."
                )
    settings = {
        "threshold": float(getattr(tuner, "threshold", 0.5)),
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
            f"The tuner was fitted on vectors of width {tuner.n_features_in_}, but the encoder "
            f"gives vectors of width {width}. Pass the encoder of the fit: encoder=..."
        )
    for label in labels:
        pipe.add_label(label)
    # This sets the shapes of the parameters. Their values are replaced in the next line.
    head.initialize(X=ops.alloc2f(1, width), Y=cast(Any, ops.alloc2f(1, len(labels))))
    storage.arrays_to_head(storage.head_to_arrays(tuner.head_, None), head)
    pipe.model.set_dim("nO", len(labels), force=True)
    pipe.model.set_ref("output_layer", head.maybe_get_ref("output_layer"))
    pipe.cfg.update(
        exclusive_classes=tuner.exclusive_classes_,
        label_counts=tuner.label_counts_.tolist(),
        is_trained=True,
        temperature=round(tuner.temperature_, 6),
        # Other tuners compare pairs only.
        predicts_labels=isinstance(tuner, FeedForwardTuner),
    )


def to_estimator(pipe: EmbTune) -> HeadTuner:
    """Create a fitted tuner that has the head of a trained component. The tuner has no encoder: use
    `SentenceEncoder(name)`, or `nlp.pipe` and `doc._.embedding`. It does not get the settings of
    the optimizer, or a `class_weight` that is a dict. Its classes are strings, even if a tuner with
    numbers as classes was converted before.

    pipe (EmbTune): The component. Its head is FeedForward or Contrastive.
    RETURNS (FeedForwardTuner | ContrastiveTuner): The tuner. `classes_` are the labels, sorted.
    RAISES (ValueError): When the component is not trained, or there is no estimator for its head.
    """
    if not pipe.is_trained:
        raise ValueError(f"[{pipe.name}] is not trained yet. Train it before to_estimator.")
    head = pipe.model.get_ref("head")
    arguments = _loss_arguments(pipe.loss, head.name)
    tuner: HeadTuner
    if head.name == "feed_forward":
        _, hidden, drop, _ = head.layers
        tuner = FeedForwardTuner(
            hidden_dim=head.get_dim("nH"),
            dropout=_dropout_rate(drop),
            activation=cast(Any, hidden.name),
            threshold=pipe.threshold,
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
            f"[{pipe.name}] has the head {head.name!r}, but only FeedForward and (residual) "
            "Contrastive heads have an estimator."
        )
    tuner._random = check_random_state(None)
    tuner._set_labels(
        np.asarray(pipe.labels),
        kind="classes" if pipe.cfg["exclusive_classes"] else "cats",
        exclusive=bool(pipe.cfg["exclusive_classes"]),
        counts=np.asarray(pipe.cfg["label_counts"], dtype="float32"),
    )
    tuner._make_head(head.get_dim("nI"), tuner.head_config())
    # partial_fit updates the mean of the base vectors. It was computed from at least this many
    # documents.
    tuner._n_seen = float(tuner.label_counts_.sum(axis=0).max(initial=0.0))
    tuner.n_steps_ = 0
    tuner.temperature_ = pipe.temperature
    storage.arrays_to_head(storage.head_to_arrays(head, None), tuner.head_)
    tuner._sort_classes()
    return tuner


def _split(tuner: Any, encoder: Any) -> tuple[Any, Any]:
    """RETURNS (tuple[Any, Any]): Encoder and tuner of a scikit-learn pipeline, or the arguments."""
    steps = [step for _, step in getattr(tuner, "steps", [])]
    if steps:
        between = [type(step).__name__ for step in steps[1:-1]]
        if between:
            raise ValueError(
                f"The scikit-learn pipeline has {', '.join(between)} between the encoder and the "
                "tuner, which a component cannot have. Fit the tuner on the encoder's vectors."
            )
        tuner = steps[-1]
        if encoder is None and len(steps) > 1:
            encoder = steps[0]
    if not isinstance(tuner, HeadTuner):
        raise ValueError(
            f"{type(tuner).__name__} is no tuner. Give a fitted "
            "FeedForwardTuner or ContrastiveTuner, or a pipeline that ends in one."
        )
    return encoder, tuner


# Settings that the encoder of a component has from a SentenceEncoder.
_ENCODER_SETTINGS = (
    *("precision", "revision", "trust_remote_code", "prompt", "prompt_name", "task"),
    *("max_seq_length", "truncate_dim", "attn_implementation", "model_kwargs", "backend"),
    "pool_windows",
)


def _encoder_config(encoder: Any) -> dict[str, Any]:
    section: dict[str, Any] = {"@architectures": "spacy-embtune.SentenceTransformer.v1"}
    if isinstance(encoder, CachedEncoder):
        # The component reads the same vectors from the same directory.
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
            f"{type(encoder).__name__} is no encoder for a component. Give a SentenceEncoder, "
            "or the name or directory of a sentence-transformers model."
        )
    if encoder.quantize:
        raise ValueError("A component's encoder cannot be quantized: use quantize=False.")
    for name in _ENCODER_SETTINGS:
        section[name] = getattr(encoder, name)
    return {**section, "name": str(encoder.name)}


def _dropout_rate(drop: Any) -> float:
    rate = drop.attrs.get("fixed_dropout_rate", drop.attrs.get("dropout_rate", 0.0))
    return float(rate)


def _loss_arguments(loss: Any, head: str) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): The parameters of a tuner that describe this loss. Empty if there
    are none: the tuner then learns on with its default loss."""
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
    # In a tuner the (first) loss on labels has the weight 1.
    arguments = {
        "loss": "mixed" if is_mixed else first,
        "negatives": term.negatives,
        "preserve": preserve / weight,
    }
    if isinstance(term, SupervisedContrastive):
        arguments["temperature"] = term.temperature
    return arguments
