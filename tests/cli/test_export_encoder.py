import shutil

import numpy as np
import pytest
import spacy
from sentence_transformers import SentenceTransformer


@pytest.mark.slow
def test_what_is_exported_gives_the_vectors_of_the_pipeline(trained, embtune, tmp_path):
    out = tmp_path / "encoder"
    code, output, error = embtune("export-encoder", trained.model, out)
    assert (code, error) == (0, "")
    assert "SentenceTransformer(" in output
    doc = spacy.load(trained.model)("a new guitar")
    vector = SentenceTransformer(str(out), device="cpu").encode("a new guitar")
    np.testing.assert_allclose(vector, doc._.embedding, rtol=1e-2, atol=1e-2)


@pytest.mark.slow
def test_a_directory_that_exists_is_replaced_only_if_asked(trained, embtune, tmp_path):
    out = tmp_path / "encoder"
    out.mkdir()
    (out / "mine").write_text("")
    (out / "modules.json").write_text("[]")
    code, _, error = embtune("export-encoder", trained.model, out)
    assert code == 1
    assert "exists already" in error
    assert (out / "mine").exists()
    assert embtune("export-encoder", trained.model, out, "--force")[0] == 0
    assert not (out / "mine").exists()
    assert (out / "modules.json").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["encoder"]
    assert embtune("export-encoder", trained.model, tmp_path / "no" / "where")[0] == 1


@pytest.mark.slow
def test_nothing_but_an_encoder_is_replaced(trained, embtune, tmp_path, monkeypatch):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("mine")
    model = tmp_path / "model"
    shutil.copytree(trained.model, model)
    monkeypatch.chdir(model)
    for out, reason in (
        (precious, "something else than an encoder"),
        (tmp_path, "something else than an encoder"),
        (model / "embtune" / "..", "something else than an encoder"),
        (".", "something else than an encoder"),
        (model / "embtune" / "encoder" / "..", "something else than an encoder"),
    ):
        code, _, error = embtune("export-encoder", model, out, "--force")
        assert code == 1
        assert reason in error
    assert (precious / "thesis.txt").read_text() == "mine"
    (model / "modules.json").write_text("[]")
    code, _, error = embtune("export-encoder", model, model, "--force")
    assert code == 1
    assert "MODEL is in it" in error
    spacy.load(model)


@pytest.mark.slow
def test_an_encoder_that_pools_windows_is_told_of(embtune, tiny_encoder, tmp_path):
    nlp = spacy.blank("en")
    encoder = {"name": str(tiny_encoder), "pool_windows": True}
    nlp.add_pipe("embtune", config={"model": {"encoder": encoder}})
    nlp.to_disk(tmp_path / "model")
    code, printed, said = embtune("export-encoder", tmp_path / "model", tmp_path / "encoder")
    assert code == 0
    assert "Long texts will be cut" in printed + said
