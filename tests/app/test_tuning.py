"""The button that tunes: a process of its own, whose pipeline then gives the vectors."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from spacy.training import Example
from starlette.testclient import TestClient
from thinc.api import Config

from spacy_embtune.app import ActionError, PageServer, Session, make_command
from spacy_embtune.app._log import LabelLog, LoggedText
from spacy_embtune.app._server import Opening, make_app
from spacy_embtune.app._tuning import Tuning

from ..conftest import TOPICS, make_texts
from .conftest import make_pile_of, wait_for_learning, wait_until

TOKEN, PORT = "a-secret-token", 4567
HOME = f"http://127.0.0.1:{PORT}"
WORDS = ["ball", "team", "soup", "oven"]


def save_pipeline(path: Path) -> None:
    """Train a small pipeline and save it, as the command does."""
    nlp = spacy.blank("en")
    for i, word in enumerate(WORDS):
        nlp.vocab.set_vector(word, np.eye(4, dtype="float32")[i] + 1)
    encoder = {"@architectures": "spacy-embtune.DocVectors.v1"}
    nlp.add_pipe("embtune", config={"model": {"encoder": encoder}})
    known = [{"cats": {"A": float(i < 2), "B": float(i >= 2)}} for i in range(4)]
    docs = map(nlp.make_doc, WORDS)
    examples = [Example.from_dict(doc, cats) for doc, cats in zip(docs, known, strict=True)]
    nlp.update(examples, sgd=nlp.initialize(lambda: examples))
    nlp.to_disk(path)


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def follow(tuning: Tuning) -> Any:
    wait_until(lambda: tuning.state().phase in ("done", "failed"))
    return tuning.state()


def test_the_command_of_the_button() -> None:
    command = make_command(
        Path("a/l.jsonl"),
        Path("a/l.tuned"),
        "d.csv",
        encoder="e",
        seconds=9,
        options={"text-field": "-x", "delimiter": ";", "quotes": None},
    )
    assert command[:5] == [sys.executable, "-m", "spacy", "embtune", "tune"]
    assert command[5:7] == [str(Path("a/l.jsonl")), str(Path("a/l.tuned"))]
    assert command[7:] == [
        "--unlabelled=d.csv",
        "--seconds=9",
        "--encoder=e",
        "--text-field=-x",
        "--delimiter=;",
        "--force",
        "--end-with-stdin",
    ]


@pytest.mark.slow
def test_tuning_ends_when_the_program_of_the_page_is_killed(tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    child = (
        "import time; from pathlib import Path; from spacy_embtune.cli import _parent; "
        f"_parent.end_with_stdin(); beats = Path({str(alive)!r})\n"
        "for n in range(10_000): beats.write_text(str(n)); time.sleep(0.01)"
    )
    page = (
        "import time; from pathlib import Path; from spacy_embtune.app._tuning import Tuning; "
        f"Tuning({python(child)!r}, Path('o')).start(print); time.sleep(600)"
    )
    with subprocess.Popen(python(page)) as process:
        wait_until(alive.exists, seconds=60)
        process.kill()
    # It may finish a beat, and is silent then.
    wait_until(lambda: _is_silent(alive), seconds=20)


def _is_silent(path: Path) -> bool:
    before = path.read_text()
    time.sleep(0.5)
    return path.read_text() == before


@pytest.mark.slow
def test_the_pipeline_that_was_tuned_gives_the_vectors(tmp_path: Path) -> None:
    made = tmp_path / "made"
    save_pipeline(made)
    log = tmp_path / "labels.jsonl"
    out = tmp_path / "labels.tuned"
    # It writes what `embtune tune` writes.
    command = python(
        f"import shutil; print('best so far'); shutil.copytree({str(made)!r}, {str(out)!r})"
    )
    texts = [f"{WORDS[i % 4]} {WORDS[(i + i % 2) % 4]}" + " x" * (i // 4) for i in range(24)]
    with PageServer(log, tune_with=command) as server:
        session = server.open(lambda progress: make_pile_of(texts))
        session.act("give", "A", [0, 1, 4, 5])
        session.act("give", "B", [2, 3, 6, 7])
        wait_for_learning(session)
        before, places = session.space.vectors, session.arrays()[1]
        with pytest.raises(ActionError, match="no encoder"):
            session.find_meaning("soup")
        tuning = server._opening.tuning
        assert tuning is not None
        tuning.start(lambda out: server._use(session, out))
        assert follow(tuning).phase == "done", tuning.state()
        wait_for_learning(session)
        assert session.space.vectors.shape == (24, 200)
        assert session.space.vectors.shape != before.shape
        assert not np.allclose(session.arrays()[1], places)
        # Search by meaning asks the new pipeline, and the labels are what they were.
        rows, cosines = session.find_meaning("soup oven", 5)
        assert {session.pile.texts[row].text.split()[0] for row in rows} <= {"soup", "oven"}
        assert cosines == sorted(cosines, reverse=True)
        assert session.state()["counts"] == [4, 4]


@pytest.mark.slow
def test_a_failure_is_told_and_changes_nothing(make_session: Callable[..., Session]) -> None:
    session = make_session()
    wait_for_learning(session)
    version = session.state()["version"]
    tuning = Tuning(
        python("print('\\x1b[31mOne class only\\x1b[0m'); raise SystemExit(1)"), Path("o")
    )
    tuning.start(lambda out: pytest.fail("There is no result."))
    state = follow(tuning)
    assert (state.phase, state.said) == ("failed", "One class only")
    tuning = Tuning(python("pass"), Path("nowhere"))
    tuning.start(lambda out: spacy.load(out))
    state = follow(tuning)
    assert state.phase == "failed"
    assert state.said.startswith("The result could not be used: ")
    tuning = Tuning([str(Path("no", "such", "program"))], Path("o"))
    with pytest.raises(ActionError, match="did not start"):
        tuning.start(print)
    assert tuning.state().phase == "idle"
    assert session.state()["version"] == version


@pytest.mark.slow
def test_one_at_a_time_and_it_can_be_stopped() -> None:
    tuning = Tuning(python("import time; print('begun'); time.sleep(60)"), Path("o"))
    tuning.start(print)
    with pytest.raises(ActionError, match="running already"):
        tuning.start(print)
    wait_until(lambda: tuning.state().said == "begun")
    assert tuning.state().phase == "running"
    tuning.stop()
    state = follow(tuning)
    assert (state.phase, state.said) == ("failed", "It was stopped.")
    # It can begin again, and ends with the page.
    tuning.start(print)
    tuning.close()
    assert follow(tuning).phase == "failed"


@pytest.mark.slow
def test_the_page_asks_by_its_own_address_only(make_session: Callable[..., Session]) -> None:
    session = make_session()
    own = {"origin": HOME}
    without = TestClient(make_app(session, token=TOKEN, port=PORT), base_url=HOME)
    assert 'id="tune"' not in without.get(f"/{TOKEN}/").text
    answer = without.post(f"/{TOKEN}/tuning", json={"do": "start"}, headers=own)
    assert answer.status_code == 400
    assert "cannot tune" in answer.json()["error"]
    tuning = Tuning(python("raise SystemExit('<b>bad</b>')"), Path("o"))
    app = make_app(Opening(session, tuning=tuning), token=TOKEN, port=PORT)
    client = TestClient(app, base_url=HOME)
    assert client.get(f"/{TOKEN}/").text.count('id="tune"') == 1
    foreign = client.post(f"/{TOKEN}/tuning", json={"do": "start"}, headers={"origin": "http://e"})
    assert foreign.status_code == 403
    assert tuning.state().phase == "idle"
    assert client.post(f"/{TOKEN}/tuning", json={"do": "rm"}, headers=own).status_code == 400
    # No part of a request becomes a part of the command.
    asked = {"do": "start", "command": ["true"], "label": "A", "rows": [0]}
    assert client.post(f"/{TOKEN}/tuning", json=asked, headers=own).json()["phase"] == "running"
    assert follow(tuning).said == "<b>bad</b>"
    assert shutil.which("true") is None or tuning.command[0] == sys.executable


@pytest.mark.slow
def test_the_real_command_tunes_the_labels_of_the_log_and_tunes_again(
    tmp_path: Path, tiny_encoder: Path
) -> None:
    rows = make_texts(48)
    # Options that say how DATA is read do not count for the log.
    data, log, out = (tmp_path / name for name in ("data.txt", "labels.jsonl", "labels.tuned"))
    data.write_text("body;n\n" + "".join(f"{text};1\n" for text, _ in rows), encoding="utf-16")
    with LabelLog(log) as labels:
        for topic in TOPICS:
            texts = [text for text, of in rows if of == topic][:10]
            labels.give(topic, [LoggedText.of(text, text) for text in texts])
    options = {"text-field": "body", "format": "csv", "delimiter": ";", "encoding": "utf-16"}
    command = make_command(log, out, data, encoder=str(tiny_encoder), seconds=4, options=options)
    tuning = Tuning(command, out)
    for _ in range(2):
        tuning.start(lambda out: None)
        wait_until(lambda: tuning.state().phase in ("done", "failed"), seconds=180)
        assert tuning.state().phase == "done", tuning.state()
        nlp = spacy.load(out)
        assert set(nlp("football").cats) == set(TOPICS)
        assert nlp.meta["embtune"]["data"]["documents"] == 30
        shutil.rmtree(out / "vocab")
    corpora = Config().from_disk(out / "config.cfg")["corpora"]
    assert (corpora["train"]["text_field"], corpora["train"]["encoding"]) == ("text", None)


@pytest.mark.slow
def test_the_real_command_ends_with_its_standard_input(tmp_path: Path, tiny_encoder: Path) -> None:
    data, log = tmp_path / "data.jsonl", tmp_path / "labels.jsonl"
    rows = make_texts(48)
    data.write_text("".join(f"{json.dumps({'text': text})}\n" for text, _ in rows))
    with LabelLog(log) as labels:
        for topic in TOPICS:
            texts = [text for text, of in rows if of == topic][:10]
            labels.give(topic, [LoggedText.of(text, text) for text in texts])
    command = make_command(
        log, tmp_path / "labels.tuned", data, encoder=str(tiny_encoder), seconds=600
    )
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        while b"Trying" not in (line := process.stdout.readline()):
            assert line
        process.stdin.close()
        process.stdout.read()
        assert process.wait(30) == 1
    assert not (tmp_path / "labels.tuned").exists()
