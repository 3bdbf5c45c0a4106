"""A file of pairs without scores trains the component: the other pairs of a batch are negatives."""

import json
from typing import Any

import pytest
from thinc.api import fix_random_seed

from spacy_embtune.data import PairsReader
from spacy_embtune.reports import report_pairs

from ..conftest import TOPICS
from .test_component import MakeNlp

FOOD, MUSIC, SPORT = (TOPICS[name].split() for name in ("FOOD", "MUSIC", "SPORT"))


@pytest.mark.slow
def test_the_texts_of_a_pair_find_each_other(
    make_nlp: MakeNlp, tiny_encoder: Any, tmp_path: Any
) -> None:
    path = tmp_path / "pairs.jsonl"
    with path.open("w", encoding="utf8") as file:
        for i in range(50):
            first, second = divmod(i, 10)
            texts = f"{FOOD[first]} {SPORT[second]}", f"{MUSIC[first]} {MUSIC[second]} and"
            file.write(json.dumps({"id": i, "text1": texts[0], "text2": texts[1]}) + "\n")
    fix_random_seed(0)
    nlp = make_nlp(
        model={
            "encoder": {
                "@architectures": "spacy-embtune.SentenceTransformer.v1",
                "name": str(tiny_encoder),
            },
            "head": {"@architectures": "spacy-embtune.Contrastive.v1", "dropout": 0.0},
        },
        loss={"@losses": "spacy-embtune.supervised_contrastive.v1", "temperature": 0.05},
    )
    examples = list(PairsReader(path)(nlp))
    optimizer = nlp.initialize(lambda: examples)
    losses = []
    for _ in range(60):
        losses.append(nlp.update(examples, sgd=optimizer)["embtune"])
    assert losses[-1] < 0.7 * losses[0]
    found = report_pairs(nlp, examples, progress=False)
    for _, rows in found.primary:
        assert rows[-1].tuned > rows[-1].base + 0.1
    # These texts were trained on, and the report says so.
    assert found.verdict.kind == "not held out"
