"""The callback that sets the number of training steps by the number of texts."""

import json
from pathlib import Path

import pytest
import spacy
from spacy.training.initialize import init_nlp
from spacy.util import load_config

from spacy_embtune.training import suitable_steps

from ..conftest import make_texts

CONFIG = Path(__file__).parents[2] / "configs" / "encoder.cfg"


def start(tmp_path, tiny_encoder, n, **changes):
    data = tmp_path / "data.jsonl"
    rows = [{"text": f"{text} {i}", "label": y} for i, (text, y) in enumerate(make_texts(n))]
    data.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    dev = tmp_path / "dev.jsonl"
    dev.write_text("".join(f"{json.dumps(row)}\n" for row in rows[:9]))
    overrides = {
        "paths.train": str(data),
        "paths.dev": str(dev),
        "components.embtune.model.encoder.name": str(tiny_encoder),
        "components.embtune.model.encoder.trainable_layers": 1,
        **changes,
    }
    return init_nlp(load_config(CONFIG, overrides=overrides, interpolate=False))


@pytest.mark.slow
@pytest.mark.parametrize("n", [30, 400])
def test_the_shipped_config_takes_more_steps_with_more_texts(tmp_path, tiny_encoder, n):
    nlp = start(tmp_path, tiny_encoder, n)
    n_steps = suitable_steps(n)
    training = nlp.config.interpolate()["training"]
    assert training["max_steps"] == n_steps
    assert training["optimizer"]["learn_rate"]["total_steps"] == n_steps
    assert training["eval_frequency"] == n_steps // 4
    # The pipeline can be saved and loaded with it.
    nlp.to_disk(tmp_path / "out")
    assert spacy.load(tmp_path / "out").config["training"]["max_steps"] == n_steps


@pytest.mark.slow
def test_a_number_of_the_config_is_kept(tmp_path, tiny_encoder):
    nlp = start(tmp_path, tiny_encoder, 30, **{"training.max_steps": 7})
    assert nlp.config.interpolate()["training"]["max_steps"] == 7
    assert nlp.config["training"]["eval_frequency"] == 5
