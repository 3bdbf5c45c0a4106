"""`embtune tune`."""

import json

import pytest
import spacy

from ..conftest import make_texts


def write(path, rows):
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


@pytest.mark.slow
def test_tune_writes_a_pipeline_a_config_a_card_and_a_picture(tmp_path, embtune, tiny_encoder):
    data = write(tmp_path / "d.jsonl", [{"text": t, "label": y} for t, y in make_texts(40)])
    pile = write(tmp_path / "p.jsonl", [{"text": t} for t, _ in make_texts(200, seed=3)])
    out = tmp_path / "out"
    code, _, error = embtune(
        *("tune", data, out, "--unlabelled", pile, "--seconds", 8, "--encoder", tiny_encoder),
        *(
            "--set",
            "components.embtune.extension=topic",
            "--set",
            "components.embtune.set_cats=true",
        ),
    )
    assert code == 0, error
    for word in ("linear classifier", "contrastive head", "left out", "kept", "MAP@R"):
        assert word in error
    nlp = spacy.load(out)
    doc = nlp("football")
    assert doc._.topic.shape
    assert set(doc.cats) == {"SPORT", "FOOD", "MUSIC"}
    assert nlp.config["paths"]["train"] == str(data)
    assert "## Held-out documents" in (out / "README.md").read_text()
    assert (out / "embtune.png").read_bytes()[:4] == b"\x89PNG"
    # A directory with a pipeline is not written over.
    code, _, error = embtune("tune", data, out, "--encoder", tiny_encoder)
    assert code == 1
    assert "--force" in error


@pytest.mark.slow
def test_tune_says_what_is_wrong_with_its_settings(tmp_path, embtune, tiny_encoder):
    data = write(tmp_path / "d.jsonl", [{"text": t} for t, _ in make_texts(12)])
    out = tmp_path / "out"
    common = ("tune", data, out, "--encoder", tiny_encoder)
    for more, message in (
        ((), "--labels A,B,C"),
        (("--set", "lang"), "--set nlp.lang=de"),
        (("--config", tmp_path / "missing.cfg"), "There is no config"),
        (("--labels", "ONE"), "two or more"),
    ):
        code, _, error = embtune(*common, *more)
        assert code == 1
        assert message in error, error
        assert not out.exists()
