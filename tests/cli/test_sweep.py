import pytest
import spacy
from spacy.util import load_config

from ..tuning.test_sweep import make_config


@pytest.mark.slow
def test_the_table_fits_and_the_best_config_trains(trained, embtune, tiny_encoder, tmp_path):
    config = tmp_path / "own.cfg"
    make_config(tiny_encoder).to_disk(config)
    out = tmp_path / "best.cfg"
    code, output, error = embtune("sweep", config, trained.data, out, "--seconds", "1")
    assert code == 0, error
    # But for those that name a file of the test, whose path may be long.
    lines = [line for line in output.splitlines() if str(tmp_path) not in line]
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["head", "loss", "width", "drop", "rate", "steps", "score"]
    assert "settings tried" in output
    nlp = spacy.util.load_model_from_config(
        load_config(out, overrides={"paths.train": "-", "paths.dev": "-"}), auto_fill=True
    )
    assert nlp.pipe_names == ["embtune"]
    code, _, error = embtune("sweep", config, trained.data, out, "--seconds", "1")
    assert code == 1
    assert "exists already" in error


def test_what_is_wrong_is_said(trained, embtune, tmp_path):
    code, output, error = embtune("sweep", tmp_path / "missing.cfg", trained.data)
    assert (code, output) == (1, "")
    assert "There is no config" in error
    broken = tmp_path / "broken.cfg"
    broken.write_text("[components\n")
    assert embtune("sweep", broken, trained.data)[0] == 1
