"""Finetuning the encoder with `spacy train configs/encoder.cfg`."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.cli.train import train as spacy_train
from spacy.language import Language
from spacy.tokens import DocBin

from ...conftest import make_examples
from .pipelines import assert_same_vectors, changed, vectors, weights

CONFIG = Path(__file__).parents[3] / "configs" / "encoder.cfg"
SETTINGS = {
    "components.embtune.model.encoder.precision": "float32",
    "components.embtune.model.encoder.trainable_layers": 1,
    "components.embtune.model.encoder.learn_rate_scale": 1.0,
    "training.optimizer.learn_rate.initial_rate": 0.003,
    "training.max_steps": 20,
    "training.eval_frequency": 5,
    "training.batcher.size": 24,
}


@pytest.fixture
def run(tiny_encoder: Path, tmp_path: Path) -> Callable[..., Any]:
    """Runs `spacy train configs/encoder.cfg` on the tiny encoder."""
    nlp = spacy.blank("en")
    for name, seed in (("train", 0), ("dev", 7)):
        docs = [example.reference for example in make_examples(nlp, 60, seed=seed)]
        DocBin(docs=docs).to_disk(tmp_path / f"{name}.spacy")

    def run(out: str = "out", **overrides: Any) -> Path:
        spacy_train(
            CONFIG,
            tmp_path / out,
            overrides={
                "paths.train": str(tmp_path / "train.spacy"),
                "paths.dev": str(tmp_path / "dev.spacy"),
                "components.embtune.model.encoder.name": str(tiny_encoder),
                **SETTINGS,
                **{key.replace("__", "."): value for key, value in overrides.items()},
            },
        )
        return tmp_path / out

    return run


def rows_of(output: str) -> list[list[float]]:
    """RETURNS (list): The rows of the log: epoch, step, loss and scores."""
    rows = [line.split() for line in output.splitlines()]
    return [[float(x) for x in row] for row in rows if len(row) == 8 and row[0].isdigit()]


@pytest.mark.slow
def test_spacy_train_learns(run: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> None:
    out = run()
    rows = rows_of(capsys.readouterr().out)
    assert [row[1] for row in rows] == [0, 5, 10, 15, 20]
    map_r, base_p1, base_map_r = ([row[i] for row in rows] for i in (4, 5, 6))
    assert map_r[-1] > map_r[0] + 10
    assert len(set(base_p1)) == len(set(base_map_r)) == 1
    for name in ("model-best", "model-last"):
        nlp = spacy.load(out / name)
        assert nlp("bread soup")._.embtune.shape == (64,)
        performance = nlp.meta["performance"]
        scores = nlp.evaluate(make_examples(nlp, 60, seed=7))
        assert scores["embtune_map_r"] == pytest.approx(performance["embtune_map_r"], abs=1e-4)


@pytest.mark.slow
def test_the_same_seed_trains_the_same(run: Callable[..., Any]) -> None:
    first, again = (run(out) for out in ("first", "again"))
    nlps = [spacy.load(path / "model-last") for path in (first, again)]
    assert not changed(weights(nlps[0]), weights(nlps[1]))
    assert_same_vectors(vectors(nlps[0]), vectors(nlps[1]))


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        {"training.accumulate_gradient": 3},
        {"training.optimizer.use_averages": True},
        {
            "training.optimizer.@optimizers": "RAdam.v1",
            "training.optimizer.learn_rate.initial_rate": 0.02,
        },
        {
            "components.embtune.model.head.@architectures": "spacy-embtune.FeedForward.v1",
            "components.embtune.model.encoder.trainable_layers": -1,
        },
        {
            "components.embtune.model.head.@architectures": "spacy-embtune.Contrastive.v1",
            "components.embtune.set_cats": True,
        },
        {"components.embtune.model.encoder.memory_mb": 1, "training.dropout": 0.1},
    ],
    ids=lambda overrides: next(iter(overrides)).split(".")[-1],
)
def test_settings_of_the_training(
    run: Callable[..., Any], overrides: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    out = run(**overrides)
    rows = rows_of(capsys.readouterr().out)
    assert max(row[4] for row in rows) > rows[0][6] + 4
    assert len({row[6] for row in rows}) == 1
    nlp = spacy.load(out / "model-best")
    scores = nlp.evaluate(make_examples(nlp, 60, seed=7))
    expected = nlp.meta["performance"]["embtune_map_r"]
    assert scores["embtune_map_r"] == pytest.approx(expected, abs=1e-4)


@pytest.mark.slow
def test_it_stops_without_a_better_score(
    run: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    run(
        **{
            "training.optimizer.learn_rate.initial_rate": 1e-9,
            "training.patience": 10,
            "training.max_steps": 100,
        }
    )
    assert rows_of(capsys.readouterr().out)[-1][1] == 10


@pytest.mark.slow
def test_an_interrupted_training_can_be_gone_on_with(
    run: Callable[..., Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    @spacy.registry.callbacks("tests.interrupts.v1")
    def make_callback() -> Any:
        def interrupt(nlp: Language, args: dict[str, Any]) -> None:
            if args["step"] == 8:
                raise KeyboardInterrupt

        return interrupt

    callback = {"training.before_update": {"@callbacks": "tests.interrupts.v1"}}
    with caplog.at_level(logging.WARNING), pytest.raises(KeyboardInterrupt):
        run(**callback)
    stopped = spacy.load(tmp_path / "out" / "model-last")
    source = {"source": str(tmp_path / "out" / "model-last")}
    more = run("more", components__embtune=source, **{"training.max_steps": 10})
    resumed = spacy.load(more / "model-last")
    held_out = make_examples(resumed, 60, seed=7)
    before, after = stopped.evaluate(held_out), resumed.evaluate(held_out)
    assert after["embtune_map_r"] > before["embtune_map_r"] + 0.05


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"components.embtune.model.encoder.save_weights": False}, "Set save_weights = true"),
        ({"components.embtune.bank_size": 50}, "Set bank_size = 0"),
        ({"components.embtune.model.encoder.trainable_layers": 3}, "the encoder has 2"),
        ({"components.embtune.model.encoder.trainable_layers": -2}, "trainable_layers is -2"),
    ],
)
def test_settings_that_cannot_be(
    run: Callable[..., Any], overrides: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        run(**overrides)
