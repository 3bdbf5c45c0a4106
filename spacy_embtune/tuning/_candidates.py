"""Settings of a head that a sweep tries, and how a config holds them."""

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

    head, loss (dict): Sections of a config.
    learn_rate, weight_decay (float): Of the optimizer.
    """

    head: Section
    loss: Section
    learn_rate: float
    weight_decay: float

    def describe(self) -> dict[str, str]:
        """RETURNS (dict[str, str]): What tells it from others, for a table."""
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
    """RETURNS (list[Candidate]): The settings that are worth trying, in no order: as many as a
    minute suffices for with a few hundred texts."""
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
    # What stands beside the contrastive loss, and how much.
    besides = [("", 0.0), ("cross_entropy", 1.0)]
    contrasts = [
        *itertools.product((10.0, 30.0), (0.1, 0.2), besides),
        *itertools.product((10.0, 30.0), (0.1,), [("cosine_pairs", 40.0)]),
    ]
    for preserve, temperature, (beside, weight) in contrasts:
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
        if beside:
            losses["beside"] = {"@losses": f"spacy-embtune.{beside}.v1"}
            weights["beside"] = weight
        loss: Section = {"@losses": "spacy-embtune.sum.v1", "weights": weights, "losses": losses}
        found.append(Candidate(head, loss, 1e-3, 2.0))
    return found


def read_candidate(config: Config, name: str) -> Candidate:
    """RETURNS (Candidate): The settings that a config has.

    config (Config): A config for `spacy train`, interpolated.
    name (str): The component in it.
    RAISES (ValueError): If its optimizer is another than Adam.
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
        # A schedule: the rate that it begins at, or rises to.
        rate = rate.get("initial_rate", 0.001)
    head = dict(component["model"]["head"])
    if "dropout" in head and head["dropout"] is None:
        # What spaCy gives it then.
        head["dropout"] = training.get("dropout", 0.1)
    return Candidate(head, dict(component["loss"]), float(rate), float(optimizer.get("L2", 0.01)))


def complete(candidate: Candidate) -> Candidate:
    """RETURNS (Candidate): The same, with all defaults of its head and loss said."""
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
