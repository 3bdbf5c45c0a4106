"""The factory of the component "embtune" and its default configuration."""

from collections.abc import Callable, Sequence
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc
from thinc.api import Config, Model

from ..types import Loss, Output
from .component import EmbTune

DEFAULT_CONFIG = """
[embtune]
extension = "embtune"
base_extension = "embedding"
exclusive_classes = null
set_cats = false
threshold = 0.5
max_cats = null
vector_hooks = false
bank_size = 0
spans = null
learn_spans = false

[embtune.model]
@architectures = "spacy-embtune.EmbTune.v1"

[embtune.model.encoder]
@architectures = "spacy-embtune.SentenceTransformer.v1"
name = "sentence-transformers/all-MiniLM-L6-v2"

[embtune.model.head]
@architectures = "spacy-embtune.FeedForward.v1"

[embtune.loss]
@losses = "spacy-embtune.cross_entropy.v1"

[embtune.scorer]
@scorers = "spacy-embtune.embtune_scorer.v1"
"""


@Language.factory(
    "embtune",
    assigns=["doc._.embedding", "doc._.embtune"],
    default_config=Config().from_str(DEFAULT_CONFIG)["embtune"],
    default_score_weights={
        "embtune_p1": 0.5,
        "embtune_map_r": 0.5,
        "embtune_base_p1": 0.0,
        "embtune_base_map_r": 0.0,
        "embtune_per_type": None,
    },
)
def make_embtune(
    nlp: Language,
    name: str,
    model: Model[Sequence[Doc | str], Output],
    loss: Loss,
    extension: str,
    base_extension: str,
    exclusive_classes: bool | None,
    set_cats: bool,
    threshold: float,
    max_cats: int | None,
    vector_hooks: bool,
    bank_size: int,
    spans: str | None,
    learn_spans: bool,
    scorer: Callable[..., dict[str, Any]] | None,
) -> EmbTune:
    """Construct the component; `EmbTune` describes the settings.

    >>> import spacy
    >>> nlp = spacy.blank("en")
    >>> pipe = nlp.add_pipe("embtune", config={"set_cats": True})
    >>> pipe.extension, pipe.base_extension
    ('embtune', 'embedding')
    """
    return EmbTune(
        nlp.vocab,
        model,
        name,
        loss=loss,
        extension=extension,
        base_extension=base_extension,
        exclusive_classes=exclusive_classes,
        set_cats=set_cats,
        threshold=threshold,
        max_cats=max_cats,
        vector_hooks=vector_hooks,
        bank_size=bank_size,
        spans=spans,
        learn_spans=learn_spans,
        scorer=scorer,
    )
