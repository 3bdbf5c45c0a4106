"""Each command of the docs with a typo, a missing file, no network, a directory that cannot be
written to, or a full disk: one message that names the thing, and no traceback."""

import os
import shutil
from pathlib import Path

import pytest
import spacy
import typer

from spacy_embtune.cli import app

from ..test_files import files_limited_to

CONFIG = Path(__file__).parent.parent.parent / "configs" / "feedforward.cfg"
# A line for each command. Words in capitals stand for files that it reads, and words that begin
# with OUT: for those that it writes.
LINES = {
    "convert": "DATA OUT:corpus --test TRAIN",
    "inspect": "DATA --against TRAIN --encoder ENCODER --json OUT:found.json",
    "embed": "MODEL DATA OUT:vectors.npz",
    "evaluate": "MODEL DATA --train TRAIN --json OUT:scores.json --markdown OUT:scores.md",
    "plot": "MODEL DATA OUT:page.html OUT:picture.png --fit TRAIN",
    "bulk": "MODEL DATA OUT:ready.csv --fit TRAIN",
    "neighbors": "MODEL DATA ball",
    "tune": "TRAIN OUT:tuned --unlabelled DATA --encoder ENCODER --seconds 1 --no-plot",
    "distill": "MODEL DATA OUT:fast --labelled TRAIN --export OUT:my_encoder",
    "export-encoder": "MODEL OUT:my_encoder",
    # Tests of the app say what happens to its log.
    "label": "DATA labels.jsonl --encoder ENCODER --no-browser",
}


def cases(*, starting):
    """RETURNS (list): Pairs of a command and a place in its line whose word begins so."""
    return [
        pytest.param(name, place, id=f"{name}-{word}")
        for name, line in LINES.items()
        for place, word in enumerate(line.split())
        if word.startswith(starting)
    ]


@pytest.fixture
def call(trained, embtune, tiny_encoder, tmp_path, monkeypatch):
    """Runs the line of a command, with other words in some places. It must fail with one message,
    which is returned, and leave nothing behind."""
    monkeypatch.chdir(tmp_path)
    files = {"MODEL": trained.model, "DATA": trained.data, "TRAIN": trained.train}
    files |= {"ENCODER": tiny_encoder, "CONFIG": tmp_path / "config.cfg"}
    text = CONFIG.read_text(encoding="utf8")
    name = "sentence-transformers/all-MiniLM-L6-v2"
    assert name in text
    files["CONFIG"].write_text(text.replace(name, str(tiny_encoder)), encoding="utf8")
    (tmp_path / "file").write_text("mine")

    def run(name, others, *, expected_code=1):
        words = [str(files.get(word, word.removeprefix("OUT:"))) for word in LINES[name].split()]
        words = [str(others.get(place, word)) for place, word in enumerate(words)]
        before = sorted(tmp_path.rglob("*"))
        code, output, error = embtune(name, *words, *others.get("more", ()))
        assert code == expected_code, (output, error)
        assert "Traceback" not in error + output
        if expected_code == 1:
            assert error.count("✘") == 1
        assert sorted(tmp_path.rglob("*")) == before
        assert (tmp_path / "file").read_text() == "mine"
        return error

    return run


def test_each_command_has_a_line():
    assert set(LINES) == set(typer.main.get_command(app).commands)


@pytest.mark.parametrize(("name", "place"), cases(starting=("MODEL", "DATA", "TRAIN", "CONFIG")))
def test_a_file_that_is_not_there_is_named(call, name, place):
    error = call(name, {place: "no-such.jsonl"})
    assert "no-such.jsonl" in error
    assert any(cause in error.lower() for cause in ("there is no", "can't find", "no such file"))


@pytest.mark.parametrize("name", LINES)
def test_a_typo_in_an_option_is_named(call, name):
    error = call(name, {"more": ["--forse", "1"]}, expected_code=2)
    assert "No such option: --forse" in error
    assert "--help" in error


def test_a_typo_in_a_command_is_named(embtune):
    code, _, error = embtune("evalute", "model", "data.jsonl")
    assert code == 2
    assert "No such command 'evalute'" in error
    assert "'evaluate'" in error


@pytest.mark.parametrize(("name", "place"), cases(starting="OUT:"))
def test_a_place_that_cannot_be_written_to_is_named(call, name, place, tmp_path):
    out = LINES[name].split()[place].removeprefix("OUT:")
    # Also root cannot make a file in a file, nor in /proc.
    for folder in (tmp_path / "file", *([Path("/proc")] if Path("/proc/self").is_dir() else [])):
        error = call(name, {place: folder / out})
        # wasabi breaks lines where it likes.
        assert str(folder / out) in error.replace(" ", "")
        assert "cannot be written" in error or "There is no directory" in error
        # The temporary file is of no interest.
        assert "unfinished" not in error


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, line in LINES.items() if "OUT:" in line])
def test_a_full_disk_is_named(call, name):
    with files_limited_to(100):
        error = call(name, {})
    assert "There is no room for" in error
    assert "Free some space" in error


def test_an_encoder_without_a_network_is_told_of(call, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    place = LINES["inspect"].split().index("ENCODER")
    error = call("inspect", {place: "no-such/encoder"})
    assert "There is no sentence-transformers model 'no-such/encoder'" in error
    assert "Check the spelling and the connection" in error


@pytest.mark.slow
@pytest.mark.parametrize("trouble", ["file", "full"])
def test_a_store_that_cannot_be_used_costs_one_warning(
    trained, embtune, tmp_path, monkeypatch, trouble
):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained.model, "model")
    config = spacy.util.load_config("model/config.cfg")
    encoder = config["components"]["embtune"]["model"]["encoder"]
    encoder["cache_dir"] = "file/vectors" if trouble == "file" else "vectors"
    config.to_disk("model/config.cfg")
    Path("file").write_text("mine")
    arguments = ("evaluate", "model", trained.data, "--train", trained.train)
    if trouble == "file":
        code, output, error = embtune(*arguments)
    else:
        with files_limited_to(2000):
            code, output, error = embtune(*arguments)
    assert code == 0
    assert output == embtune("evaluate", trained.model, *arguments[2:])[1]
    assert "vectors" in error
    assert error.count("In this run") + error.count("Until the next run") == 1
    assert os.path.getsize("file") == 4
