"""Finetuned encoders in pipelines: what is refused, and what is warned of."""

from pathlib import Path

import pytest

from ...pipeline.test_component import MakeNlp
from .pipelines import start


def test_two_that_learn_have_no_base_vector_in_common(make: MakeNlp, tiny_encoder: Path) -> None:
    nlp = make(extension="first")
    config = nlp.get_pipe_config("embtune")
    settings = {k: v for k, v in config.items() if k not in ("factory", "scorer")}
    nlp.add_pipe("embtune", name="second", config={**settings, "extension": "other"})
    with pytest.raises(ValueError, match=r"both write to doc\._\.embedding"):
        start(nlp)
    # One that learns and one that is frozen have none either.
    nlp.remove_pipe("second")
    model = {"encoder": {"name": str(tiny_encoder), "precision": "float32"}}
    nlp.add_pipe("embtune", name="second", config={"extension": "other", "model": model})
    with pytest.raises(ValueError, match=r"both write to doc\._\.embedding"):
        start(nlp)


@pytest.mark.slow
def test_a_bank_is_not_advised_to_an_encoder_that_learns(
    make: MakeNlp, caplog: pytest.LogCaptureFixture
) -> None:
    nlp = make(loss={"@losses": "spacy-embtune.supervised_contrastive.v1"})
    examples, optimizer = start(nlp)
    alone = [example for example in examples if example.reference.cats["FOOD"]]
    for _ in range(25):
        nlp.update(alone[:1], sgd=optimizer)
    assert "updates in a row taught nothing" in caplog.text
    assert "larger batches or spacy-embtune.batch_by_class.v1" in caplog.text


def test_vectors_of_earlier_documents_go_out_of_date(make: MakeNlp) -> None:
    with pytest.raises(
        ValueError, match=r"bank_size is 100, but the encoder learns.*bank_size = 0"
    ):
        make(bank_size=100)


def test_weights_that_are_not_saved_would_be_lost(make: MakeNlp) -> None:
    with pytest.raises(ValueError, match=r"save_weights is false.*Set save_weights = true"):
        make(save_weights=False)


def test_more_layers_than_there_are(make: MakeNlp) -> None:
    with pytest.raises(ValueError, match="trainable_layers is 5, but the encoder has 2"):
        start(make(trainable_layers=5))
