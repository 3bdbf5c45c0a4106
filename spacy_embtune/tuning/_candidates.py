"""The settings that a search tries, and how they are read from a config."""

import inspect
import itertools
from typing import Any, NamedTuple

from spacy.util import registry
from thinc.api import Config

FEED_FORWARD = "spacy-embtune.FeedForward.v1"
CONTRASTIVE = "spacy-embtune.Contrastive.v1"

Section = dict[str, Any]


class Candidate(NamedTuple):
    """Settings to try.

        >>> head = {"@architectures": "spacy-embtune.FeedForward.v1", "hidden_width": 100}
        >>> loss = {"@losses": "spacy-embtune.cross_entropy.v1"}
        >>> Candidate(head, loss, 0.001, 0.01).describe()["loss"]
        'cross_entropy'

    head, loss (dict): The head and the loss as sections of a config.
    learn_rate (float): The learning rate of the optimizer.
    weight_decay (float): The weight decay of the optimizer (L2).
    """

    head: Section
    loss: Section
    learn_rate: float
    weight_decay: float

    def describe(self) -> dict[str, str]:
        """Describe the settings in which candidates differ, for a table.

        RETURNS (dict[str, str]): The settings by name, as texts.
        """
        name = self.head["@architectures"].split(".")[1]
        width = self.head.get("hidden_width", "")
        dropout = self.head.get("dropout", "")
        return {
            "head": name,
            "loss": _describe_loss(self.loss),
            "width": f"{width}",
            "dropout": f"{dropout}",
            "rate": f"{self.learn_rate:g}",
        }


def candidates() -> list[Candidate]:
    """List the settings that are worth trying. With a few hundred texts, a search through all of
    them takes about a minute.

    RETURNS (list[Candidate]): The candidates.
    """
    found = []
    for width, dropout, rate in itertools.product((100, 200, 384), (0.1, 0.4), (3e-4, 1e-3)):
        head = {
            "@architectures": FEED_FORWARD,
            "hidden_width": width,
            "dropout": dropout,
            "activation": "gelu",
        }
        labels: Section = {"@losses": "spacy-embtune.cross_entropy.v1"}
        found.append(Candidate(head, labels, rate, 0.01))
    # The loss that is added to the contrastive loss, and its weight.
    additions = [("", 0.0), ("cross_entropy", 1.0)]
    contrasts = [
        *itertools.product((10.0, 30.0), (0.1, 0.2), additions),
        *itertools.product((10.0, 30.0), (0.1,), [("cosine_pairs", 40.0)]),
    ]
    for preserve, temperature, (addition, weight) in contrasts:
        head = {
            "@architectures": CONTRASTIVE,
            "hidden_width": 384,
            "output_width": None,
            "dropout": 0.2,
            "residual": True,
        }
        losses: dict[str, Section] = {
            "labels": {
                "@losses": "spacy-embtune.supervised_contrastive.v1",
                "temperature": temperature,
                "balanced": True,
                "negatives": "ignore",
            },
            "preserve": {"@losses": "spacy-embtune.preserve.v1"},
        }
        weights = {"labels": 1.0, "preserve": preserve}
        if addition:
            losses["addition"] = {"@losses": f"spacy-embtune.{addition}.v1"}
            weights["addition"] = weight
        loss: Section = {"@losses": "spacy-embtune.sum.v1", "weights": weights, "losses": losses}
        found.append(Candidate(head, loss, 1e-3, 2.0))
    return found


def read_candidate(config: Config, name: str) -> Candidate:
    """Read the settings of a config.

    config (Config): A config for `spacy train`, interpolated.
    name (str): The name of the component.
    RETURNS (Candidate): The settings.
    RAISES (ValueError): If the optimizer is neither Adam nor RAdam.
    """
    component, training = config["components"][name], config.get("training", {})
    optimizer = training.get("optimizer", {})
    kind = optimizer.get("@optimizers", "Adam.v1")
    if not kind.startswith(("Adam.", "RAdam.")):
        raise ValueError(
            f"The config trains with {kind}, the search with Adam: they cannot be compared. "
            'Set @optimizers = "Adam.v1" in [training.optimizer].'
        )
    rate = optimizer.get("learn_rate", 0.001)
    if isinstance(rate, dict):
        # A schedule: its initial rate stands for it.
        rate = rate.get("initial_rate", 0.001)
    head = dict(component["model"]["head"])
    if "dropout" in head and head["dropout"] is None:
        # The head then uses the dropout rate of the training.
        head["dropout"] = training.get("dropout", 0.1)
    return Candidate(head, dict(component["loss"]), float(rate), float(optimizer.get("L2", 0.01)))


def complete(candidate: Candidate) -> Candidate:
    """Add the default settings of the head and the loss to a candidate, to compare candidates.

    candidate (Candidate): The candidate.
    RETURNS (Candidate): The candidate with all settings.
    """
    return candidate._replace(head=_fill(candidate.head), loss=_fill(candidate.loss))


def _fill(section: Section) -> Section:
    filled: Section = {}
    for key, name in section.items():
        if key.startswith("@"):
            parameters = inspect.signature(registry.get(key[1:], name)).parameters.values()
            filled.update({p.name: p.default for p in parameters if p.default is not p.empty})
    filled.update(section)
    return {k: _fill(v) if isinstance(v, dict) else v for k, v in filled.items()}


def _describe_loss(loss: Section) -> str:
    name: str = loss["@losses"].split(".")[1]
    if name != "sum":
        return name
    weights = loss.get("weights") or {}
    parts = []
    for key, term in loss["losses"].items():
        weight = weights.get(key, 1.0)
        if weight == 0:
            continue
        kind = term["@losses"].split(".")[1].replace("supervised_contrastive", "supcon")
        kind = kind.replace("cross_entropy", "ce").replace("cosine_pairs", "cosine")
        details = f" t={term['temperature']:g}" if "temperature" in term else ""
        parts.append(f"{'' if weight == 1 else f'{weight:g} '}{kind}{details}")
    return " + ".join(parts)
