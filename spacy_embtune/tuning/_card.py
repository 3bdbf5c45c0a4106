"""The model card of a tuned pipeline: its receipt in words."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

TITLES = {
    "accuracy": "accuracy",
    "knn_accuracy": "nearest neighbour accuracy",
    "p_at_1": "p@1",
    "map_at_r": "MAP@R",
    "mean": "mean of the four",
}
# A card names so many labels.
MOST_LABELS = 50


def title_of(key: str, *, exclusive: bool) -> str:
    """Give a metric its title.

    >>> title_of("accuracy", exclusive=False)
    'macro-F1'

    key (str): The key in the receipt.
    exclusive (bool): Whether labels exclude each other.
    RETURNS (str): The title.
    """
    title = TITLES[key]
    return title if exclusive else title.replace("accuracy", "macro-F1")


def make_card(receipt: Mapping[str, Any], name: str) -> str:
    """Write the model card of a pipeline, as hubs show it. It holds numbers, names of labels and of
    rungs, and no text that was learned from.

    receipt (Mapping[str, Any]): The receipt of `tune`.
    name (str): The name of the component.
    RETURNS (str): Markdown with a header in YAML.
    """
    data, encoder = receipt["data"], receipt["encoder"]
    parts = [
        _header(encoder["name"]),
        "# Tuned sentence embeddings\n",
        _introduction(receipt, name),
        _use(name, receipt),
        _held_out(receipt),
        _tried(receipt),
        _labels(data),
        _details(receipt),
    ]
    return "\n".join(part for part in parts if part)


def _header(encoder: str) -> str:
    return (
        "---\n"
        "library_name: spacy\n"
        "tags:\n- spacy\n- text-classification\n- sentence-similarity\n- feature-extraction\n"
        f"base_model: {json.dumps(encoder)}\n"
        "---\n"
    )


def _introduction(receipt: Mapping[str, Any], name: str) -> str:
    data, encoder = receipt["data"], receipt["encoder"]
    sentence = f"A spaCy pipeline with the component `{name}` of spacy-embtune. "
    if data["documents"]:
        sentence += (
            f"It learned from {data['documents']:,} labelled texts of {len(data['labels'])} labels"
        )
        if receipt["learned_from_pile"]:
            sentence += f", and from {data['unlabelled']:,} texts without labels"
    else:
        sentence += f"It learned from no labelled text: it knows the names of {len(data['labels'])}"
        sentence += " labels"
    sentence += f". Vectors come from `{encoder['name']}`"
    sentence += ". " if receipt["kept"] in ("base", "names") else ", tuned to these labels. "
    return f"{sentence}What was kept: **{receipt['kept_title']}**.\n"


def _use(name: str, receipt: Mapping[str, Any]) -> str:
    return (
        "```python\n"
        "import spacy\n\n"
        'nlp = spacy.load("PATH_OF_THIS_DIRECTORY")\n'
        'doc = nlp("A text.")\n'
        "doc._.embtune  # the tuned vector\n"
        "doc.cats       # the probabilities of the labels\n"
        "```\n"
    )


def _held_out(receipt: Mapping[str, Any]) -> str:
    found = receipt["held_out"]
    exclusive = receipt["data"]["exclusive"]
    if not found:
        is_judged = any(one["folds"] for one in receipt["tried"])
        why = (
            f"What was kept was not judged: {receipt['seconds_allowed']:.0f} s were too short for "
            "it. With more (--seconds), it is compared with the base vectors."
            if is_judged
            else "There were too few labelled texts to hold some out, or there was no time for it."
        )
        return f"## Held-out documents\n\n{why}\n"
    lines = [
        "## Held-out documents\n",
        "Each labelled text was judged by a pipeline that had not learned from it "
        "(cross-validation). ± is the standard error, over documents. Of several rungs the best "
        "was kept, so expect slightly less on new texts.\n",
        "| | base vectors | kept | difference |",
        "|---|---|---|---|",
    ]
    for key, row in found.items():
        cells = [_cell(row["base"]), _cell(row["kept"]), _cell(row["gain"], signed=True)]
        lines.append(f"| {title_of(key, exclusive=exclusive)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _tried(receipt: Mapping[str, Any]) -> str:
    tried: Sequence[Mapping[str, Any]] = receipt["tried"]
    if not tried:
        return ""
    exclusive = receipt["data"]["exclusive"]
    keys = ("accuracy", "p_at_1", "map_at_r")
    titles = [title_of(key, exclusive=exclusive) for key in keys]
    lines = [
        "## What was tried\n",
        f"| | {' | '.join(titles)} | folds | seconds | decision |",
        f"|---|{'---|' * (len(keys) + 3)}",
    ]
    for one in tried:
        cells = [_cell(one["scores"].get(key)) for key in keys]
        folds = str(one["folds"]) if one["folds"] else ""
        lines.append(
            f"| {one['title']} | {' | '.join(cells)} | {folds} | {one['seconds']:.1f} | "
            f"{one['decision']}: {_escape(one['reason'])} |"
        )
    return "\n".join(lines) + "\n"


def _labels(data: Mapping[str, Any]) -> str:
    counts: Mapping[str, int] = data["labels"]
    shown = list(counts.items())[:MOST_LABELS]
    lines = ["## Labels\n", "| label | labelled texts |", "|---|---|"]
    lines += [f"| {_escape(label)} | {n:,} |" for label, n in shown]
    if len(counts) > len(shown):
        lines.append(f"| and {len(counts) - len(shown):,} more | |")
    kind = "Each text carries one label." if data["exclusive"] else "A text may carry several."
    return "\n".join(lines) + f"\n\n{kind}\n"


def _details(receipt: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in receipt["versions"].items())
    lines = ["## How it was made\n"]
    if receipt["tried"]:
        lines.append(
            "`config.cfg` makes it again: `python -m spacy train config.cfg --output OUT`.\n"
            if receipt["kept"] != "names"
            else ""
        )
    limit = receipt["seconds_allowed"]
    took = f"{receipt['seconds']:.0f} s" + (f" of {limit:.0f} s allowed" if limit else "")
    lines += [
        f"- time: {took}" + (", ended by Ctrl-C" if receipt["interrupted"] else ""),
        f"- digest of the labelled texts: `{receipt['data']['digest']}`",
        f"- fingerprint of the encoder: `{receipt['encoder']['fingerprint']}`",
        f"- versions: {versions}",
        *(f"- {note}" for note in receipt["notes"]),
    ]
    return "\n".join(line for line in lines if line) + "\n"


def _cell(pair: Sequence[float | None] | None, *, signed: bool = False) -> str:
    if pair is None or pair[0] is None:
        return ""
    value = f"{pair[0]:+.3f}" if signed else f"{pair[0]:.3f}"
    return value if pair[1] is None else f"{value} ± {pair[1]:.3f}"


def _escape(text: str) -> str:
    """RETURNS (str): The text for a cell of a table: no table, no line and no HTML begins in it."""
    text = " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|")
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("`", "\\`")
