import io
from pathlib import Path
from typing import Any

import srsly
from spacy.util import registry

from spacy_embtune.pipeline.logger import _titles

from .test_component import MakeNlp

INFO: dict[str, Any] = {
    "epoch": 0,
    "step": 10,
    "score": 0.5,
    "losses": {"embtune": 1.0},
    "other_scores": {"embtune_p1": 0.5, "embtune_map_r": 0.25, "embtune_base_p1": 0.125},
}


def test_columns_tell_tuned_from_base(make_nlp: MakeNlp, tmp_path: Path) -> None:
    nlp = make_nlp()
    nlp.config["training"]["score_weights"] = {
        "embtune_p1": 0.5,
        "embtune_map_r": 0.5,
        "embtune_base_p1": 0.0,
        "embtune_base_map_r": None,
    }
    out = io.StringIO()
    make_logger = registry.loggers.get("spacy-embtune.console_logger.v1")
    set_up = make_logger(output_file=str(tmp_path / "log.jsonl"))
    log_step, finalize = set_up(nlp, out, io.StringIO())
    log_step(None)
    log_step(INFO)
    finalize()
    header, _, row = out.getvalue().splitlines()[-3:]
    assert header.split() == ["E", "#", "LOSS", "EMBTUNE", "P@1", "MAP@R", "BASE", "P@1", "SCORE"]
    assert row.split() == ["0", "10", "1.00", "50.00", "25.00", "12.50", "0.50"]
    (logged,) = srsly.read_jsonl(tmp_path / "log.jsonl")
    assert logged["scores"] == {"embtune_p1": 50.0, "embtune_map_r": 25.0, "embtune_base_p1": 12.5}


def test_two_components_keep_the_names_of_their_scores() -> None:
    assert _titles(["embtune_p1", "embtune_base_p1"]) == {
        "embtune_p1": "p@1",
        "embtune_base_p1": "base p@1",
    }
    assert _titles(["a_p1", "b_p1", "cats_score"]) == {
        "a_p1": "a_p1",
        "b_p1": "b_p1",
        "cats_score": "cats_score",
    }
