"""`tune`: the best pipeline that some labels, a pile of texts and a time can give."""

import importlib
import math
import platform
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import spacy
from spacy.language import Language
from spacy.util import load_config, registry
from thinc.api import Config

from .._files import atomic_directory
from .._texts import count, quote_some, text_key
from ..about import __version__
from ..data import Record, digest_records, read_records
from ..data.fields import STDIN
from ..labels import CARRIES, LabelTexts, is_exclusive, labels_in, validate_cats
from ..pipeline import EmbTune, pile_teaches
from ..reports import Documents, LabelSpace
from ._card import make_card
from ._evidence import METRICS, estimate, estimate_gain
from ._fitting import change
from ._ladder import Attempt, Ladder, Progress
from ._names import make_from_names

TEMPLATE = Path(__file__).with_name("tune.cfg")
# Files beside those of the pipeline.
CARD = "README.md"
PSEUDO_LABELS = "pseudo_labels.jsonl"
# Settings of `spacy-embtune.unlabelled.v1` that read a file.
PILE_SETTINGS = ("text_field", "id_field", "kind", "delimiter", "encoding", "quotes", "on_error")
# What a config says of training and the rungs leave.
KEPT = ("frozen_components", "annotating_components", "gpu_allocator", "seed", "score_weights")


@dataclass(frozen=True)
class Tuned:
    """What `tune` found.

    nlp (Language): The pipeline.
    config (Config): The config that makes it with `spacy train`. Its paths are null unless `tune`
        was told where the documents are.
    attempts (list[Attempt]): The rungs that were tried, in this order.
    receipt (dict[str, Any]): What was learned from, what was tried and what was kept, for JSON.
        It is in `nlp.meta["embtune"]`, too.
    card (str): The model card, in Markdown.
    pseudo_labels (str | None): The pseudo-labels that were learned from, as JSON lines; None
        without.
    is_interrupted (bool): Whether Ctrl-C ended the search.
    held_out (Documents | None): Documents that a pipeline of the kept kind had not learned from,
        those of the first fold, with its vectors. None: none were held out.
    """

    nlp: Language
    config: Config
    attempts: list[Attempt]
    receipt: dict[str, Any]
    card: str
    pseudo_labels: str | None
    is_interrupted: bool
    held_out: Documents | None

    def to_disk(self, path: str | Path) -> None:
        """Write the pipeline, with `config.cfg`, the model card README.md and, if there are,
        pseudo_labels.jsonl: whole or not at all.

        path (str | Path): The directory. An older one is replaced.
        RAISES (OSError): If it cannot be written.
        """
        path = Path(path).resolve()
        if self.pseudo_labels is not None:
            for config in (self.config, self.nlp.config):
                config["paths"]["pseudo_labels"] = str(path / PSEUDO_LABELS)
        with atomic_directory(path) as unfinished:
            self.nlp.to_disk(unfinished)
            (unfinished / CARD).write_text(self.card, encoding="utf8")
            if self.pseudo_labels is not None:
                (unfinished / PSEUDO_LABELS).write_text(self.pseudo_labels, encoding="utf8")


def tune(
    texts: Any,
    labels: Any = None,
    *,
    unlabelled: Sequence[str] = (),
    label_texts: LabelTexts | None = "names",
    names: Sequence[str] = (),
    encoder: str | Mapping[str, Any] | None = None,
    config: Config | str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    seconds: float = 120.0,
    seed: int | None = None,
    paths: Mapping[str, str] | None = None,
    reader: Mapping[str, Any] | None = None,
    unlabelled_reader: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Tuned:
    """Find the best pipeline for some labels.

    It climbs a ladder: base vectors with a linear classifier, the nearest name of a label, a
    contrastive head, a feed-forward head, the last layers of the encoder, rounds of pseudo-labels
    of the unlabelled texts, all layers. If neighbours among the unlabelled texts mostly get the
    same label from the labelled ones, the encoder learns these from the start. Each rung is
    cross-fitted: it learns from some of the documents and is judged by the others. It is kept if it
    is expected to be better than the best before, by these documents and by what it was worth on
    other data (`Attempt.reason`). The pipeline then learns from all documents.

    >>> texts = [f"{word} {i}" for i in range(6) for word in ("football", "soup")]
    >>> found = tune(texts, ["SPORT", "FOOD"] * 6, seconds=1)
    >>> max(found.nlp("tennis").cats.items(), key=lambda pair: pair[1])[0]
    'SPORT'

    texts (Sequence[str] | Sequence[Record]): The texts, or records of `read_records`.
    labels (Any): The label of each text, a list of labels of each, or cats of each; None is
        unknown. None: the records have cats.
    unlabelled (Sequence[str]): Texts like these, without labels. If there are none: those of
        `[corpora.unlabelled]` of the config, or the records without a label.
    label_texts (str | Mapping | None): Texts of labels, as in `EmbTune.initialize`: "names" for
        their names; texts that mean nothing are left out. Those of the config go first.
    names (Sequence[str]): Labels, if there is no labelled text. The pipeline then predicts the
        label whose name is nearest.
    encoder (str | Mapping | None): The name of a sentence-transformers model, or settings of
        `spacy-embtune.SentenceTransformer.v1`. None: that of the config.
    config (Config | str | Path | None): A config for `spacy train` in which the rungs change head,
        loss, optimizer and steps. None: a config of this package.
    settings (Mapping[str, Any] | None): Other settings of the config: dotted name -> value.
    seconds (float): How long it may take, in seconds. The rung that is tried at the end is
        finished if it seemed to fit.
    seed (int | None): The seed of folds and training. None: that of the config, or 0.
    paths (Mapping[str, str] | None): Where the documents are: "train" and "unlabelled", for the
        config that is written.
    reader (Mapping[str, Any] | None): Settings of `spacy-embtune.records.v1` that read them.
    unlabelled_reader (Mapping[str, Any] | None): Those of `spacy-embtune.unlabelled.v1`.
    progress (Callable | None): Called with each `Attempt`, also while it runs.
    RETURNS (Tuned): The pipeline, and how it was found.
    RAISES (ValueError): If there is no labelled text and no name, or only one class, or labels or
        settings are invalid.
    RAISES (KeyboardInterrupt): After Ctrl-C, if there is no pipeline yet. Later, Ctrl-C gives the
        best so far.
    """
    begin = time.monotonic()
    records = _read(texts, labels)
    base, own_reader, own_pile = _load(config, encoder, settings)
    name = _find_component(base)
    _check_component(base, name)
    initialize = base["initialize"].get("components", {}).get(name, {})
    if initialize.get("label_texts") is not None:
        label_texts = initialize["label_texts"]
    names = [*names, *(label for label in initialize.get("labels") or () if isinstance(label, str))]
    if isinstance(label_texts, Mapping):
        names = [*names, *label_texts]
    if seed is None:
        seed = int(base.interpolate()["system"].get("seed") or 0)
    given = dict(paths or {})
    pile = [text for text in unlabelled if isinstance(text, str) and text.strip()]
    if not pile and own_pile is not None:
        pile = _read_pile(base, own_pile)
        given.setdefault("unlabelled", str(own_pile["path"]))
        unlabelled_reader = {k: v for k, v in own_pile.items() if k in PILE_SETTINGS}
    without = [record.text for record in records if not record.cats and record.text.strip()]
    reader = {**own_reader, **(reader or {})}
    if not pile:
        pile = without
        if "train" in given:
            given.setdefault("unlabelled", given["train"])
        unlabelled_reader = {key: value for key, value in reader.items() if key in PILE_SETTINGS}
    labelled = [record for record in records if record.cats and record.text.strip()]
    if not labelled:
        return _from_names(records, names, base, name, pile, label_texts, begin)
    space = _choose_labels(labelled, names, base, name)
    with tempfile.TemporaryDirectory(prefix="embtune-") as folder:
        ladder = Ladder(
            base,
            name,
            labelled,
            space,
            folder=Path(folder),
            pile=pile,
            seconds=seconds - (time.monotonic() - begin),
            label_texts=cast(Any, label_texts),
            seed=seed,
            progress=progress,
        )
        return _conclude(
            ladder,
            labelled,
            seconds=seconds,
            begin=begin,
            seed=seed,
            paths=_resolve(given),
            reader={**reader, "labelled_only": True} if without else reader,
            unlabelled_reader=dict(unlabelled_reader or {}),
        )


def _conclude(
    ladder: Ladder,
    labelled: list[Record],
    *,
    seconds: float,
    begin: float,
    seed: int,
    paths: Mapping[str, str | None],
    reader: Mapping[str, Any],
    unlabelled_reader: Mapping[str, Any],
) -> Tuned:
    """Climb, and make the result.

    paths (Mapping): Where the documents are.
    reader (Mapping): The settings that read the labelled documents.
    unlabelled_reader (Mapping): Those that read the pile.
    """
    kept = ladder.climb()
    nlp, name = kept.nlp, ladder.name
    uses_pile = "unlabelled" in kept.config.get("corpora", {})
    pseudo = None
    if kept.rung is not None:
        changed: dict[str, Any] = {
            "paths.train": paths.get("train"),
            "paths.unlabelled": paths.get("unlabelled"),
            "paths.pseudo_labels": None,
        }
        for corpus in ("train", "dev"):
            changed |= {f"corpora.{corpus}.{key}": value for key, value in reader.items()}
        if uses_pile:
            pseudo = Path(kept.config["paths"]["pseudo_labels"]).read_text(encoding="utf8")
            changed |= {f"corpora.unlabelled.{k}": v for k, v in unlabelled_reader.items()}
        if paths and paths.get("train") is None:
            ladder.notes.append("The documents came from standard input: give config.cfg a file.")
        # With the settings that spaCy filled in.
        nlp.config = change(Config(nlp.config), changed)
    receipt = _make_receipt(ladder, labelled, seconds, time.monotonic() - begin, seed)
    nlp.meta["embtune"] = receipt
    card = make_card(receipt, name)
    return Tuned(
        nlp,
        Config(nlp.config),
        ladder.attempts,
        receipt,
        card,
        pseudo,
        ladder.is_interrupted,
        kept.held_out,
    )


def _resolve(paths: Mapping[str, str]) -> dict[str, str | None]:
    """RETURNS (dict): The paths, absolute where they are files; None for standard input."""
    found: dict[str, str | None] = {}
    for key, path in paths.items():
        if path == STDIN:
            found[key] = None
        else:
            found[key] = str(Path(path).resolve()) if Path(path).exists() else path
    return found


def _make_receipt(
    ladder: Ladder,
    labelled: Sequence[Record],
    seconds: float,
    taken: float,
    seed: int,
) -> dict[str, Any]:
    """RETURNS (dict): What was learned from, what was tried, and what was kept: numbers, names of
    labels and digests, but no texts."""
    kept = ladder.kept
    assert kept is not None
    pipe = cast(EmbTune, kept.nlp.get_pipe(ladder.name))
    carried = Counter(
        label for record in labelled for label, value in record.cats.items() if value >= CARRIES
    )
    counts = {label: carried[label] for label in ladder.labels.labels}
    encoder = ladder.config["components"][ladder.name]["model"]["encoder"]
    base = ladder.base_scores
    held_out: dict[str, Any] = {}
    if kept.scores and base:
        n = min(len(base), len(kept.scores))
        columns = (*METRICS, "mean")
        found = zip(
            columns,
            estimate(base[:n]),
            estimate(kept.scores[:n]),
            estimate_gain(base[:n], kept.scores[:n]),
            strict=True,
        )
        held_out = {
            key: {"base": _pair(before), "kept": _pair(after), "gain": _pair(gain)}
            for key, before, after, gain in found
        }
    return _receipt(
        pipe,
        encoder,
        {
            "kept": "names" if kept.rung is None else kept.rung.key,
            "kept_title": next(
                (a.title for a in reversed(ladder.attempts) if a.decision == "kept"), ""
            ),
            "tried": [
                {
                    "key": attempt.key,
                    "title": attempt.title,
                    "decision": attempt.decision,
                    "reason": attempt.reason,
                    "scores": {
                        key: _pair(one)
                        for key, one in zip((*METRICS, "mean"), attempt.scores, strict=False)
                    },
                    "gain": _pair(attempt.gain[-1]) if attempt.gain else None,
                    "folds": attempt.n_folds,
                    "seconds": round(attempt.seconds, 2),
                }
                for attempt in ladder.attempts
            ],
            "held_out": held_out,
            "data": {
                "digest": digest_records(labelled),
                "documents": len(labelled),
                "labels": counts,
                "exclusive": ladder.labels.exclusive,
                "unlabelled": len(ladder.pile.texts),
            },
            "label_texts": "label_texts" in pipe.cfg,
            "learned_from_pile": kept.rung is not None and kept.rung.reads_pile,
            "notes": ladder.notes,
            "seconds": round(taken, 1),
            "seconds_allowed": seconds,
            "interrupted": ladder.is_interrupted,
            "seed": seed,
        },
    )


def _receipt(pipe: EmbTune, encoder: Mapping[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """RETURNS (dict): What was found, with the encoder and the versions of packages."""
    fingerprint = None if pipe.encoder is None else pipe.encoder.fingerprint
    return {
        **found,
        "encoder": {"name": _encoder_name(encoder), "fingerprint": fingerprint},
        "versions": _versions(),
    }


def _encoder_name(section: Mapping[str, Any]) -> str:
    """RETURNS (str): The name of an encoder; of a directory its last part, so that no path of this
    machine is told."""
    name = str(section.get("name", ""))
    return Path(name).name if Path(name).exists() else name


def _pair(estimate: Any) -> list[float | None]:
    """RETURNS (list): The value and its standard error, for JSON."""
    return [None if math.isnan(number) else round(number, 4) for number in estimate]


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "spacy_embtune": __version__}
    for module in ("spacy", "thinc", "torch", "sentence_transformers", "numpy"):
        found[module] = str(importlib.import_module(module).__version__)
    return found


def _read(texts: Any, labels: Any) -> list[Record]:
    """RETURNS (list[Record]): The documents."""
    rows = list(texts)
    if all(isinstance(row, Record) for row in rows):
        if labels is not None:
            raise ValueError("The records have labels of their own: leave out the labels.")
        records = rows
    else:
        given = [None] * len(rows) if labels is None else list(labels)
        if len(given) != len(rows):
            raise ValueError(
                f"There are {count(len(rows), 'text')} and {count(len(given), 'label')}: give one "
                "for each text; None if it is not known."
            )
        kinds = {type(label) for label in given if label is not None}
        field = "cats" if kinds and kinds <= {dict} else "label"
        records = list(read_records({"text": rows, field: given}))
    for i, record in enumerate(records):
        validate_cats(record.cats, where=f"document {record.id or i!r}")
    return records


def _load(
    config: Config | str | Path | None,
    encoder: str | Mapping[str, Any] | None,
    settings: Mapping[str, Any] | None,
) -> tuple[Config, dict[str, Any], dict[str, Any] | None]:
    """RETURNS (tuple): The config that rungs change, with its variables; the settings with which
    its corpus is read; and its corpus of unlabelled texts, interpolated, or None."""
    if isinstance(config, Config):
        loaded = config
    else:
        loaded = load_config(TEMPLATE if config is None else config, interpolate=False)
    template = load_config(TEMPLATE, interpolate=False)
    loaded = change(loaded, {"system": {**template["system"], **loaded.get("system", {})}})
    name = _find_component(loaded)
    changed: dict[str, Any] = {}
    prefix = f"components.{name}.model.encoder"
    if isinstance(encoder, str):
        changed[f"{prefix}.name"] = encoder
    elif encoder is not None:
        changed |= {f"{prefix}.{key}": value for key, value in encoder.items()}
    own = f"components.{name}.model.head", f"components.{name}.loss"
    for key in settings or {}:
        if key.startswith(own) or (key.startswith("training.") and key[9:] not in KEPT):
            raise ValueError(
                f"{key}: the rungs set head, loss and training. Use spacy train for settings of "
                "your own."
            )
    loaded = change(loaded, {**changed, **(settings or {})})
    corpora = dict(loaded.get("corpora", {}))
    unlabelled = corpora.pop("unlabelled", None)
    if unlabelled is not None:
        unlabelled = loaded.interpolate()["corpora"]["unlabelled"]
    reader = {}
    if str(corpora.get("train", {}).get("@readers", "")).startswith("spacy-embtune.records."):
        own = loaded.interpolate()["corpora"]["train"]
        apart = ("@readers", "path", "dev_path", "split", "dev_fraction", "group_field", "limit")
        reader = {k: v for k, v in own.items() if k not in apart and v is not None}
    initialize = {**template["initialize"], **loaded.get("initialize", {})}
    # The ladder sets the number of steps.
    initialize.pop("after_init", None)
    initialize["components"] = {
        key: {k: v for k, v in section.items() if key != name or k != "unlabelled"}
        for key, section in {
            **template["initialize"]["components"],
            **initialize.get("components", {}),
        }.items()
        if key in loaded["components"]
    }
    own_training = {key: value for key, value in loaded.get("training", {}).items() if key in KEPT}
    paths = {**loaded.get("paths", {}), **template["paths"]}
    complete = {
        "paths": paths,
        "corpora": {**corpora, **template["corpora"]},
        "training": {**template["training"], **own_training},
        "initialize": initialize,
    }
    return change(loaded, complete), reader, unlabelled


def _read_pile(config: Config, section: Mapping[str, Any] | None) -> list[str]:
    """RETURNS (list[str]): The texts of `[corpora.unlabelled]` of a config."""
    if section is None:
        return []
    corpus = registry.resolve({"corpus": dict(section)})["corpus"]
    nlp = spacy.blank(config["nlp"]["lang"])
    return [example.reference.text for example in corpus(nlp)]


def _find_component(config: Config) -> str:
    """RETURNS (str): The name of the only embtune component of a config."""
    found = [
        name
        for name, section in config.get("components", {}).items()
        if section.get("factory") == "embtune"
    ]
    if len(found) != 1:
        raise ValueError(
            f"The config has {len(found)} embtune components{': ' if found else ''}"
            f"{', '.join(found)}. Give one that has one."
        )
    return found[0]


def _check_component(config: Config, name: str) -> None:
    component = config["components"][name]
    encoder = component["model"]["encoder"]
    architecture = encoder.get("@architectures", "")
    if not architecture.startswith("spacy-embtune.SentenceTransformer."):
        raise ValueError(
            f"[{name}] its encoder is {architecture}, and tune needs one that reads texts: "
            "spacy-embtune.SentenceTransformer.v1."
        )
    if component.get("learn_spans"):
        raise ValueError(
            f"[{name}] learns from spans (learn_spans), and tune compares documents. Train it "
            "with spacy train."
        )


def _choose_labels(
    labelled: Sequence[Record], names: Sequence[str], config: Config, name: str
) -> LabelSpace:
    """RETURNS (LabelSpace): The labels of the documents.
    RAISES (ValueError): If they are all of one class."""
    cats = [record.cats for record in labelled]
    setting = config["components"][name].get("exclusive_classes")
    exclusive = is_exclusive(cats) if setting is None else bool(setting)
    labels = list(dict.fromkeys([*labels_in(cats), *names]))
    carried = {label for one in cats for label, value in one.items() if value >= CARRIES}
    lacked = {label for one in cats for label, value in one.items() if value < CARRIES}
    if len(carried) < 2 and (exclusive or not lacked):
        raise ValueError(
            f"All labelled texts carry the label {quote_some(sorted(carried))}: there is nothing "
            "to tell apart. Label texts of another class, or give 0.0 for texts that lack it."
        )
    if not exclusive and not carried & lacked:
        raise ValueError(
            "No label is known to be present in one text and absent in another, so there is "
            'nothing to learn. Give texts that lack a label: {"cats": {"A": 0.0}}.'
        )
    return LabelSpace(labels, exclusive, [], None)


def _from_names(
    records: Sequence[Record],
    names: Sequence[str],
    config: Config,
    component: str,
    pile: Sequence[str],
    label_texts: LabelTexts | None,
    begin: float,
) -> Tuned:
    """RETURNS (Tuned): A pipeline that has learned no label."""
    texts = [*pile, *(record.text for record in records)]
    labels = list(dict.fromkeys(names))
    if not labels:
        raise ValueError(
            "None of the texts has a label. Label some, or give the names of the labels "
            "(names=[...], --labels A,B,C): each text then gets the label whose name is nearest."
        )
    nlp = make_from_names(config, component, labels, texts, label_texts=label_texts)
    title = "nearest name"
    attempt = Attempt("names", title, "kept", "no text has a label", [], [], 0, 0.0)
    pipe = cast(EmbTune, nlp.get_pipe(component))
    receipt = _receipt(
        pipe,
        config.interpolate()["components"][component]["model"]["encoder"],
        {
            "kept": "names",
            "kept_title": title,
            "tried": [],
            "held_out": {},
            "data": {
                "digest": digest_records([]),
                "documents": 0,
                "labels": dict.fromkeys(labels, 0),
                "exclusive": True,
                "unlabelled": len({text_key(text) for text in texts} - {""}),
            },
            "label_texts": True,
            "learned_from_pile": pile_teaches(len(texts), len(labels)),
            "notes": ["No text has a label, so nothing could be measured."],
            "seconds": round(time.monotonic() - begin, 1),
            "seconds_allowed": None,
            "interrupted": False,
            "seed": 0,
        },
    )
    nlp.meta["embtune"] = receipt
    card = make_card(receipt, component)
    return Tuned(nlp, Config(nlp.config), [attempt], receipt, card, None, False, None)
