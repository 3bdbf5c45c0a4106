"""The command `label`, where it cannot open the page; tests/app has the page itself."""

from collections.abc import Callable
from pathlib import Path

import pytest
import srsly

from spacy_embtune.app import LabelLog
from spacy_embtune.app._server import open_socket

from ..conftest import make_texts

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def label(embtune: Run, tiny_encoder: Path, tmp_path: Path) -> Run:
    """Runs the command on a few texts, with more options."""
    data = tmp_path / "data.jsonl"
    srsly.write_jsonl(data, [{"text": text} for text, _ in make_texts(6)])

    def run(*args: object) -> tuple[int, str, str]:
        log = tmp_path / "labels.jsonl"
        return embtune("label", data, log, "--encoder", tiny_encoder, "--no-browser", *args)

    return run


def test_a_port_that_is_taken_is_named(label: Run, tmp_path: Path) -> None:
    with open_socket(0) as taken:
        port = taken.getsockname()[1]
        code, _, error = label("--port", port)
    assert code == 1
    assert f"The port {port} cannot be used" in error
    assert "--port 0" in error
    assert not (tmp_path / "labels.jsonl").exists()


def test_a_log_that_another_program_uses_is_named(label: Run, tmp_path: Path) -> None:
    with LabelLog(tmp_path / "labels.jsonl") as log:
        log.name(["A"])
        before = log.path.read_bytes()
        code, _, error = label()
        assert code == 1
        assert "is used by another `embtune label`" in error
        assert log.path.read_bytes() == before


def test_a_file_that_is_no_log_is_not_changed(label: Run, tmp_path: Path) -> None:
    log = tmp_path / "labels.jsonl"
    log.write_text('{"text": "mine"}\n')
    code, _, error = label()
    assert code == 1
    assert "is no log of `embtune label`" in error
    assert log.read_text() == '{"text": "mine"}\n'
