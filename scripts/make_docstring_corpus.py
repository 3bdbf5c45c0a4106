"""Make a labelled corpus of real text without a network: the prose in the docstrings of the
installed numpy, scipy and scikit-learn, each paragraph labelled with the module it is about."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from corpus_io import Text, fold, rank, show_splits, write_corpus
from docstrings import Paragraph, prose
from wasabi import msg

# Topics with at least about a hundred paragraphs, each topic once: numpy.linalg and numpy.fft speak
# of what scipy.linalg and scipy.signal speak of.
LABELS = (
    "numpy.ma",
    "numpy.polynomial",
    "numpy.random",
    "scipy.integrate",
    "scipy.interpolate",
    "scipy.linalg",
    "scipy.ndimage",
    "scipy.optimize",
    "scipy.signal",
    "scipy.sparse",
    "scipy.spatial",
    "scipy.special",
    "scipy.stats",
    "sklearn.cluster",
    "sklearn.linear_model",
    "sklearn.metrics",
    "sklearn.preprocessing",
)
FRACTIONS = {"train": 0.70, "dev": 0.15, "test": 0.15}
# A paragraph that more objects share, up to names and numbers, says nothing of its module.
MOST_COPIES = 2


def main(
    out_dir: Annotated[
        Path, typer.Argument(help="Directory for train, dev and test", file_okay=False)
    ],
    max_texts: Annotated[
        int | None,
        typer.Option(help="Keep this many texts, evenly over the labels", min=len(LABELS)),
    ] = None,
    seed: Annotated[int, typer.Option(help="Another seed makes another split")] = 0,
    lang: Annotated[str, typer.Option(help="Language of the tokenizer")] = "en",
) -> None:
    """Make a corpus of docstrings: train, dev and test, as .spacy and as .jsonl.

    The texts are paragraphs of prose from numpy, scipy and scikit-learn as installed, and the label
    is the module. All that is said of an object, of a class with its methods, is in one split; the
    name of the object is in the user_data of each Doc, and in "meta" of the JSONL, as "object".
    """
    texts = distinct({label: list(prose(label)) for label in LABELS})
    if max_texts is not None:
        texts = sample(texts, max_texts, seed)
    splits = split_by_object(texts, seed)
    write_corpus(out_dir, splits, lang=lang, jsonl=True)
    show_splits(splits)
    msg.good(f"Saved {len(texts)} texts with {len(LABELS)} labels to {out_dir}")


def distinct(found: dict[str, list[Paragraph]]) -> list[Text]:
    """Leave out what occurs in several modules and what is boilerplate, and take the rest once.

    found (dict[str, list[Paragraph]]): The paragraphs of each label.
    RETURNS (list[Text]): The texts, by label and object, every one of them with all labels.
    """
    labels_of: dict[str, set[str]] = defaultdict(set)
    objects_of: dict[str, set[str]] = defaultdict(set)
    for label, paragraphs in found.items():
        for paragraph in paragraphs:
            for key in (fold(paragraph.text), paragraph.template):
                labels_of[key].add(label)
            objects_of[paragraph.template].add(paragraph.name)
    texts, seen = [], set()
    for label, paragraphs in found.items():
        cats = {other: float(other == label) for other in found}
        for text, name, template in paragraphs:
            keys = {fold(text), template}
            ambiguous = any(len(labels_of[key]) > 1 for key in keys)
            if not (ambiguous or len(objects_of[template]) > MOST_COPIES or keys & seen):
                texts.append(Text(text, cats, {"object": name}))
            # Also where it is left out: what is one of several copies stays one of them.
            seen |= keys
    return texts


def sample(texts: Iterable[Text], n: int, seed: int) -> list[Text]:
    """RETURNS (list[Text]): n of the texts, as many of each label as there are and n allows."""
    turns: Counter[str] = Counter()
    ranked = []
    for text in sorted(texts, key=lambda t: rank(seed, t.text)):
        ranked.append((turns[_label(text)], rank(seed, text.text), text))
        turns[_label(text)] += 1
    chosen = [text for *_, text in sorted(ranked, key=lambda r: r[:2])[:n]]
    return sorted(chosen, key=lambda t: (_label(t), _object(t), t.text))


def split_by_object(texts: Sequence[Text], seed: int) -> dict[str, list[Text]]:
    """Split so that all texts of an object are on one side, each label in the same proportions.

    texts (Sequence[Text]): The texts.
    seed (int): Decides which objects go where.
    RETURNS (dict[str, list[Text]]): The texts of each split, in random order.
    """
    objects: dict[str, dict[str, list[Text]]] = defaultdict(lambda: defaultdict(list))
    for text in texts:
        objects[_label(text)][_object(text)].append(text)
    splits: dict[str, list[Text]] = {name: [] for name in FRACTIONS}
    for named in objects.values():
        total = sum(map(len, named.values()))
        missing = {split: fraction * total for split, fraction in FRACTIONS.items()}
        # The largest objects first, each to where most is missing: small ones even it out.
        for name in sorted(named, key=lambda n: (-len(named[n]), rank(seed, n))):
            split = max(missing, key=lambda s: missing[s])
            missing[split] -= len(named[name])
            splits[split] += named[name]
    return {s: sorted(part, key=lambda t: rank(seed, t.text)) for s, part in splits.items()}


def _label(text: Text) -> str:
    return max(text.cats, key=lambda label: text.cats[label])


def _object(text: Text) -> str:
    return (text.meta or {})["object"]


if __name__ == "__main__":
    typer.run(main)
