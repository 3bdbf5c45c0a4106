"""The names of removed losses, for configs and saved pipelines that still have them."""

from typing import Any

from ..types import Loss


def make_triplet(margin: Any = None, mining: Any = None, negatives: Any = None) -> Loss:
    """Refuse `spacy-embtune.triplet.v1`, which was removed.

    margin, mining, negatives (Any): The settings of the removed loss, not used.
    RAISES (ValueError): Always. The message says what to use instead.
    """
    raise ValueError(
        "The loss spacy-embtune.triplet.v1 was removed, because its neighbours were never better "
        "than those of supervised_contrastive by more than the spread (benchmarks/README.md). "
        'Write @losses = "spacy-embtune.supervised_contrastive.v1" in its place, and leave margin '
        "and mining out."
    )


def make_cosent(scale: Any = None, negatives: Any = None) -> Loss:
    """Refuse `spacy-embtune.cosent.v1`, which was removed.

    scale, negatives (Any): The settings of the removed loss, not used.
    RAISES (ValueError): Always. The message says what to use instead.
    """
    raise ValueError(
        "The loss spacy-embtune.cosent.v1 was removed, because the correlations of cosine_pairs "
        "were as good or better (benchmarks/README.md). Write "
        '@losses = "spacy-embtune.cosine_pairs.v1" in its place, and leave scale out.'
    )
