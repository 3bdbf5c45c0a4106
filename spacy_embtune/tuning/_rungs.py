"""The rungs of the ladder: what each changes in the config, and what it was worth elsewhere."""

from typing import Any, NamedTuple

from ..training import suitable_steps

# Names of the sections that rungs change.
HEAD = "components.{name}.model.head"
LOSS = "components.{name}.loss"
ENCODER = "components.{name}.model.encoder"


class Rung(NamedTuple):
    """A way to make a pipeline.

    key (str): Its name in the receipt.
    title (str): Its name in tables.
    settings (dict[str, Any]): What it changes in a config: dotted name -> value. "{name}" stands
        for the name of the component.
    gain (float): What it was worth over the rung before it, elsewhere: the mean difference of the
        score (the mean of accuracy, nearest neighbour accuracy, p@1 and MAP@R).
    spread (float): The standard deviation of this difference over sets of data.
    n_steps (int): The number of training steps.
    learns_encoder (bool): Whether the encoder learns.
    n_pile (int): How many texts of the pile may get a pseudo-label that it learns from.
    by_neighbours (bool): Whether neighbours give these labels, and no pipeline that has to learn
        first.
    """

    key: str
    title: str
    settings: dict[str, Any]
    gain: float
    spread: float
    n_steps: int
    learns_encoder: bool = False
    n_pile: int = 0
    by_neighbours: bool = False

    @property
    def reads_pile(self) -> bool:
        """RETURNS (bool): Whether it learns from pseudo-labels."""
        return self.n_pile > 0

    @property
    def is_slow(self) -> bool:
        """RETURNS (bool): Whether each fold trains a pipeline. Other heads are trained on vectors
        that are computed once."""
        return self.learns_encoder or self.reads_pile

    @property
    def is_trusted(self) -> bool:
        """RETURNS (bool): Whether it was better on most other data by more than half of the
        spread, so that it is worth its time even if there is none to judge it."""
        return 0 < self.spread <= 2 * self.gain


# Measured over sets of data, see "The ladder" in benchmarks/README.md: gain and its spread.
CONTRASTIVE_GAIN = (0.06, 0.05)
# Accuracy .10 higher on ag_news and .09 on sst2 with one text a label ("Names of labels" there,
# with and without a pile), and three other scores as before; no draws over other sets.
NAMES_GAIN = (0.025, 0.03)
FEED_FORWARD_GAIN = (-0.01, 0.03)
ENCODER_GAIN = (0.07, 0.06)
ALL_LAYERS_GAIN = (0.005, 0.02)
# What the labels of neighbours add where they teach ("Who teaches" in benchmarks/README.md).
NEIGHBOURS_GAIN = 0.03
# With fewer texts of a label than this, heads gained less elsewhere.
FEW_TEXTS = 3.0


def _steps(n_steps: int, weight_decay: float, learn_rate: Any = None) -> dict[str, Any]:
    if learn_rate is None:
        # It falls to 0, as in the tuners.
        learn_rate = {
            "@schedules": "warmup_linear.v1",
            "warmup_steps": 1,
            "total_steps": n_steps,
            "initial_rate": 0.001,
        }
    return {
        "training.max_steps": n_steps,
        "training.optimizer.learn_rate": learn_rate,
        "training.optimizer.L2": weight_decay,
    }


def base_rung() -> Rung:
    """RETURNS (Rung): The base vectors, and a linear classifier."""
    head = {"@architectures": "spacy-embtune.Linear.v1"}
    loss = {"@losses": "spacy-embtune.cross_entropy.v1"}
    settings = {HEAD: head, LOSS: loss, **_steps(100, 0.01)}
    return Rung("base", "linear classifier", settings, 0.0, 0.0, 100)


def names_rung(texts_a_label: float, *, knows_more: bool) -> Rung:
    """Make the rung that learns from names of labels and from no labelled text.

    texts_a_label (float): The number of labelled texts by that of labels.
    knows_more (bool): Whether a pile teaches it (`pile_teaches`).
    RETURNS (Rung): The rung.
    """
    gain, spread = NAMES_GAIN if knows_more and texts_a_label < FEW_TEXTS else (0.0, 0.05)
    return Rung("names", "nearest name", {}, gain, spread, 0)


def head_rungs(n_texts: int, texts_a_label: float) -> list[Rung]:
    """List the heads on top of a frozen encoder.

    n_texts (int): The number of labelled texts.
    texts_a_label (float): The number of labelled texts by that of labels.
    RETURNS (list[Rung]): The rungs.
    """
    n_steps = min(300, max(100, n_texts))
    # configs/contrastive.cfg, with an output layer that learns the labels.
    contrastive = {
        HEAD: {
            "@architectures": "spacy-embtune.Contrastive.v1",
            "hidden_width": 384,
            "output_width": None,
            "dropout": 0.2,
            "residual": True,
        },
        LOSS: {
            "@losses": "spacy-embtune.sum.v1",
            "weights": {"labels": 1.0, "pairs": 1.0, "preserve": 30.0},
            "losses": {
                "labels": {"@losses": "spacy-embtune.cross_entropy.v1"},
                "pairs": {
                    "@losses": "spacy-embtune.supervised_contrastive.v1",
                    "temperature": 0.1,
                    "balanced": True,
                    "negatives": "ignore",
                },
                "preserve": {"@losses": "spacy-embtune.preserve.v1"},
            },
        },
        **_steps(n_steps, 2.0),
    }
    # configs/feedforward.cfg
    feed_forward = {
        HEAD: {
            "@architectures": "spacy-embtune.FeedForward.v1",
            "hidden_width": 200,
            "dropout": 0.2,
            "activation": "gelu",
        },
        LOSS: {"@losses": "spacy-embtune.cross_entropy.v1", "class_weight": None},
        **_steps(n_steps, 0.01),
    }
    gain, spread = CONTRASTIVE_GAIN
    gain *= min(1.0, max(0.0, texts_a_label - 1.0) / (FEW_TEXTS - 1.0))
    return [
        Rung("contrastive", "contrastive head", contrastive, gain, spread, n_steps),
        Rung("feed_forward", "feed-forward head", feed_forward, *FEED_FORWARD_GAIN, n_steps),
    ]


def encoder_rungs(n_texts: int, n_layers: int) -> list[Rung]:
    """List the ways to finetune the encoder.

    n_texts (int): The number of labelled texts.
    n_layers (int): The number of layers that the encoder has.
    RETURNS (list[Rung]): The rungs.
    """
    n_steps = suitable_steps(n_texts)
    some = min(n_layers, max(1, round(n_layers * 2 / 3)))
    rungs = [_encoder_rung(some, n_steps, *ENCODER_GAIN, title=f"encoder, last {some} layers")]
    if some < n_layers:
        rungs.append(_encoder_rung(-1, 2 * n_steps, *ALL_LAYERS_GAIN, title="encoder, all layers"))
    return rungs


def _encoder_rung(layers: int, n_steps: int, gain: float, spread: float, *, title: str) -> Rung:
    schedule = {
        "@schedules": "warmup_linear.v1",
        "warmup_steps": max(2, n_steps // 10),
        "total_steps": n_steps,
        "initial_rate": 0.001,
    }
    # configs/encoder.cfg
    settings = {
        f"{ENCODER}.trainable_layers": layers,
        f"{ENCODER}.learn_rate_scale": 0.1,
        HEAD: {"@architectures": "spacy-embtune.Linear.v1"},
        LOSS: {
            "@losses": "spacy-embtune.sum.v1",
            "weights": {"labels": 1.0, "pairs": 1.0},
            "losses": {
                "labels": {"@losses": "spacy-embtune.cross_entropy.v1"},
                "pairs": {
                    "@losses": "spacy-embtune.supervised_contrastive.v1",
                    "temperature": 0.2,
                    "balanced": True,
                    "negatives": "ignore",
                },
            },
        },
        **_steps(n_steps, 0.01, schedule),
    }
    key = "encoder" if layers > 0 else "encoder_all"
    return Rung(key, title, settings, gain, spread, n_steps, learns_encoder=True)


def with_neighbours(rung: Rung, *, n_pile: int, is_quick: bool = False) -> Rung:
    """Make a rung of the encoder that learns what neighbours in the pile say from the start.

    rung (Rung): The rung.
    n_pile (int): How many texts of the pile may get a label.
    is_quick (bool): Whether batches are half as large.
    RETURNS (Rung): The rung.
    """
    taught = pseudo_rung(rung, 1, None, n_pile=n_pile, is_quick=is_quick, by_neighbours=True)
    is_first = rung.key == "encoder"
    layers = rung.settings[f"{ENCODER}.trainable_layers"]
    return taught._replace(
        key="encoder_neighbours" if is_first else rung.key,
        title=f"encoder+pile, {'all' if layers < 0 else f'last {layers}'}",
        gain=rung.gain + (NEIGHBOURS_GAIN if is_first else 0.0),
        spread=rung.spread,
    )


def pseudo_rung(
    rung: Rung,
    n_round: int,
    accuracy: float | None,
    *,
    n_pile: int,
    is_quick: bool = False,
    by_neighbours: bool = False,
) -> Rung:
    """Make the rung that learns from pseudo-labels as well.

    rung (Rung): The rung whose pipeline gives the pseudo-labels.
    n_round (int): The number of the round, from 1.
    accuracy (float | None): The accuracy of this pipeline on held-out documents, 0..1. None: it is
        not known.
    n_pile (int): How many texts of the pile may get a label.
    is_quick (bool): Whether batches are half as large, which is a little worse.
    by_neighbours (bool): Whether neighbours give them where they teach, and no pipeline.
    RETURNS (Rung): The rung.
    """
    # Pipelines that were wrong about most texts gained nothing, or lost ("Texts without labels" and
    # "The ladder" in benchmarks/README.md).
    gain = 0.02
    if by_neighbours:
        gain = NEIGHBOURS_GAIN
    elif accuracy is not None:
        gain = min(max(0.1 * (accuracy - 0.35), -0.02), 0.03 if rung.learns_encoder else 0.02)
    # More steps are no better.
    is_longer = rung.learns_encoder and not rung.reads_pile
    n_steps = round(1.2 * rung.n_steps) if is_longer else rung.n_steps
    settings = dict(rung.settings)
    settings["training.max_steps"] = n_steps
    rate = settings["training.optimizer.learn_rate"]
    if isinstance(rate, dict):
        rate = {**rate, "total_steps": n_steps, "warmup_steps": max(2, n_steps // 10)}
        settings["training.optimizer.learn_rate"] = rate
    if rung.learns_encoder:
        settings["training.batcher.size"] = 16 if is_quick else 32
    return rung._replace(
        key=f"pseudo_labels_{n_round}",
        title=f"pseudo-labels, round {n_round}",
        settings=settings,
        gain=gain / n_round,
        spread=0.03,
        n_steps=n_steps,
        n_pile=n_pile,
        by_neighbours=by_neighbours,
    )
