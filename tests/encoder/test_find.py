"""Finding the model that settings name, and opening it."""

import contextlib
import http.server
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from safetensors.numpy import load_file, save_file

from spacy_embtune._files import sha256_of_file
from spacy_embtune.encoder import DEFAULT_ENCODER, EncoderSettings, TextEncoder, _find
from spacy_embtune.encoder._find import PackagedEncoder


@pytest.fixture
def tiny(tiny_encoder: Path) -> TextEncoder:
    return TextEncoder.load(EncoderSettings(name=str(tiny_encoder), precision="float32"))


def test_a_path_that_is_no_directory_says_so(tmp_path: Path) -> None:
    for name in (str(tmp_path / "nothing"), "./nothing", "~/nothing-of-this-name"):
        with pytest.raises(ValueError, match=r"is not a directory.*modules\.json"):
            TextEncoder.load(EncoderSettings(name=name))


def test_a_directory_without_a_model_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"neither modules\.json nor config\.json"):
        TextEncoder.load(EncoderSettings(name=str(tmp_path)))


def test_a_damaged_model_says_so(tiny_encoder: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_encoder, tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(ValueError, match=r"cannot be read.*damaged or incomplete"):
        TextEncoder.load(EncoderSettings(name=str(tmp_path / "model")))


@pytest.mark.slow
def test_an_unknown_name_says_where_it_was_sought(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    code = (
        "from spacy_embtune.encoder import *\n"
        "try: TextEncoder.load(EncoderSettings(name='no-such/model-of-anybody'))\n"
        "except ValueError as error: print(error)"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert "no sentence-transformers model 'no-such/model-of-anybody'" in output
    assert "no packaged copy" in output
    assert "spelling" in output


@pytest.fixture
def packaged(tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A distribution that carries a model, as `tests/name`, with the right checksum."""
    module = tmp_path / "carries_a_model"
    module.mkdir()
    (module / "__init__.py").touch()
    shutil.copytree(tiny_encoder, module / "model")
    checksum = sha256_of_file(module / "model" / "model.safetensors")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(_find.PACKAGED, "tests/name", PackagedEncoder("carries_a_model", checksum))
    return module / "model"


def test_the_packaged_copy_is_found_by_name(packaged: Path, tiny: TextEncoder) -> None:
    found = TextEncoder.load(EncoderSettings(name="tests/name"))
    assert found.fingerprint == tiny.fingerprint


def test_a_packaged_copy_with_other_weights_is_refused(packaged: Path) -> None:
    weights = load_file(packaged / "model.safetensors")
    save_file({name: w + 1 for name, w in weights.items()}, packaged / "model.safetensors")
    with pytest.raises(ValueError, match=r"damaged or not the published one.*--force-reinstall"):
        TextEncoder.load(EncoderSettings(name="tests/name"))


def test_a_revision_passes_over_the_packaged_copy(packaged: Path) -> None:
    assert _find.find_packaged(EncoderSettings(name="tests/name", revision="v1")) is None
    assert _find.find_packaged(EncoderSettings(name="tests/name")) == packaged


def test_a_directory_goes_before_a_name(
    packaged: Path, other_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(other_encoder, tmp_path / "tests" / "name")
    monkeypatch.chdir(tmp_path)
    found = TextEncoder.load(EncoderSettings(name="tests/name"))
    expected = TextEncoder.load(EncoderSettings(name=str(other_encoder)))
    assert found.fingerprint == expected.fingerprint


@pytest.mark.slow
def test_the_packaged_minilm_is_the_published_one() -> None:
    encoder = TextEncoder.load(EncoderSettings(name=DEFAULT_ENCODER, precision="float32"))
    assert (encoder.width, encoder.window) == (384, 256)
    rows = encoder.encode(["A man is eating food.", "A man eats something.", "The sky is blue."])
    assert_allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-5)
    assert rows[0] @ rows[1] > 0.6 > 0.3 > rows[0] @ rows[2]
    bare = TextEncoder.load(EncoderSettings(name="all-MiniLM-L6-v2"))
    assert bare.fingerprint == encoder.fingerprint


def test_what_is_to_be_here_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(settings: EncoderSettings) -> None:
        raise AssertionError("The hub was asked.")

    monkeypatch.setattr(_find, "require_hub", ask)
    settings = EncoderSettings("nobody/has-such-a-model")
    with pytest.raises(ValueError, match="nobody/has-such-a-model"):
        TextEncoder.load(settings, only_here=True)
    with pytest.raises(AssertionError, match="asked"):
        TextEncoder.load(settings)


class Hub(http.server.BaseHTTPRequestHandler):
    """A hub on this machine that answers wrongly, or too late."""

    answer = (200, b"{}")
    seconds = 0.0

    def do_GET(self) -> None:
        time.sleep(self.seconds)
        status, body = self.answer
        with contextlib.suppress(OSError):
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *args: object) -> None:
        """Keep quiet."""


@pytest.mark.parametrize(
    ("answer", "seconds", "cause"),
    [
        ((200, b"<html>what</html>"), 0.0, "JSONDecodeError"),
        ((500, b"out of order"), 0.0, "500"),
        ((200, b"{}"), 3.0, "Timeout"),
    ],
)
def test_a_hub_that_answers_wrongly_or_late_is_an_error_soon(
    monkeypatch, answer, seconds, cause
) -> None:
    handler = type("Handler", (Hub,), {"answer": answer, "seconds": seconds})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(
            "huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.server_port}"
        )
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setattr(_find, "HUB_SECONDS", 0.5)
        begin = time.monotonic()
        with pytest.raises(ValueError, match=rf"the hub did not give it \(.*{cause}"):
            _find.require_hub(EncoderSettings("nobody/model"))
        assert time.monotonic() - begin < 3.0
        server.shutdown()
