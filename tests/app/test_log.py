"""The log of labels: nothing that was confirmed is lost, and every command reads it."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from spacy_embtune.app import LabelLog
from spacy_embtune.data import LoggedText, read_records

SOUP, BALL, BOTH = (LoggedText.of(t, str(i)) for i, t in enumerate(["Soup.", "Ball.", "Both."]))
HOSTILE = [
    "</script><script>alert(1)</script>",
    '"}\n{"action": 1}',
    "\u2028\u2029\x00\x1b[2J",
    "\ud800",
    "../../etc/passwd",
    "__proto__",
    " ",
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "labels.jsonl"


def read(path: Path) -> dict[str, dict[str, float]]:
    return {record.text: record.cats for record in read_records(path)}


def test_the_log_is_read_as_labelled_data_and_the_latest_action_wins(path: Path) -> None:
    with LabelLog(path) as log:
        log.give("SPORT", [SOUP, BALL])
        log.give("FOOD", [SOUP])
    assert read(path) == {"Soup.": {"SPORT": 0, "FOOD": 1}, "Ball.": {"SPORT": 1, "FOOD": 0}}
    assert [record.id for record in read_records(path)] == ["0", "1"]


def test_what_is_undone_is_gone_and_what_is_redone_is_back(path: Path) -> None:
    with LabelLog(path) as log:
        log.give("FOOD", [SOUP])
        log.give("FOOD", [BALL])
        log.undo()
    assert read(path) == {"Soup.": {"FOOD": 1}}
    with LabelLog(path) as log:
        log.redo()
    assert read(path) == {"Soup.": {"FOOD": 1}, "Ball.": {"FOOD": 1}}
    with LabelLog(path) as log:
        for _ in range(5):
            log.undo()
    assert read(path) == {}


def test_after_a_new_action_there_is_nothing_to_redo(path: Path) -> None:
    with LabelLog(path) as log:
        log.give("FOOD", [SOUP])
        log.undo()
        log.give("SPORT", [BALL])
        before = path.read_bytes()
        log.redo()
        assert path.read_bytes() == before


def test_not_that_label(path: Path) -> None:
    with LabelLog(path) as log:
        log.give("FOOD", [SOUP, BALL])
        log.deny("FOOD", [BALL, BOTH])
        log.deny("SPORT", [SOUP])
    # SOUP carries FOOD, so it is known not to carry SPORT without being told.
    assert read(path) == {"Soup.": {"FOOD": 1}, "Ball.": {"FOOD": 0}, "Both.": {"FOOD": 0}}


def test_several_labels_of_a_text(path: Path) -> None:
    with LabelLog(path, exclusive=False) as log:
        log.give("FOOD", [BOTH])
        log.give("SPORT", [BOTH])
        log.deny("FOOD", [BOTH])
    with LabelLog(path) as log:
        assert not log.state.exclusive
    assert read(path) == {"Both.": {"FOOD": 0, "SPORT": 1}}


def test_labels_that_were_only_named_are_offered_again(path: Path) -> None:
    with LabelLog(path) as log:
        log.name(["A", "B", "A"])
    with LabelLog(path) as log:
        log.name(["B", "C"])
        assert log.state.labels == ["A", "B", "C"]
        assert log.state.undoable is None


@pytest.mark.parametrize("cut", [1, 2, 20, 60])
def test_a_cut_last_line_is_reported_and_all_others_count(
    path: Path, cut: int, caplog: pytest.LogCaptureFixture
) -> None:
    with LabelLog(path) as log:
        log.give("FOOD", [SOUP])
        log.give("FOOD", [BALL])
    path.write_bytes(path.read_bytes()[:-cut])
    if cut > 1:
        assert read(path) == {"Soup.": {"FOOD": 1}}
        assert "the last line is not whole" in caplog.text
    with LabelLog(path) as log:
        assert len(log.notes) == (cut > 1)
        log.give("FOOD", [BOTH])
    known = {"Soup.", "Both."} | ({"Ball."} if cut == 1 else set())
    assert set(read(path)) == known


def test_a_log_cut_within_its_first_line_begins_anew(path: Path) -> None:
    path.write_text('{"embtune_label_l')
    with LabelLog(path) as log:
        assert "was not whole" in log.notes[0]
        log.give("FOOD", [SOUP])
    assert read(path) == {"Soup.": {"FOOD": 1}}


def test_foreign_lines_stay_and_are_reported(path: Path) -> None:
    with LabelLog(path) as log:
        log.give("FOOD", [SOUP])
    with path.open("a") as file:
        file.write('{"text": "Goal.", "label": "SPORT"}\nnot json')
    with LabelLog(path) as log:
        assert "2 lines" in log.notes[0]
        assert "(line 3, 4)" in log.notes[0]
        log.give("FOOD", [BALL])
    with LabelLog(path) as log:
        assert "2 lines" in log.notes[0]
        assert "(line 3, 4)" in log.notes[0]
    assert "not json" in path.read_text()
    with pytest.raises(ValueError, match=r"line 4: is no action .*Remove the line"):
        list(read_records(path))
    records = list(read_records(path, on_error="skip", report=lambda message: None))
    assert {r.text: r.cats for r in records} == {
        "Soup.": {"FOOD": 1},
        "Ball.": {"FOOD": 1},
        "Goal.": {"SPORT": 1},
    }


def test_a_file_that_is_no_log_is_refused_and_not_changed(path: Path) -> None:
    path.write_text('{"text": "Soup.", "label": "FOOD"}\n')
    with pytest.raises(ValueError, match="no log of `embtune label`, and is not changed"):
        LabelLog(path).__enter__()
    assert path.read_text() == '{"text": "Soup.", "label": "FOOD"}\n'


def test_a_log_of_a_newer_version_is_refused(path: Path) -> None:
    path.write_text('{"embtune_label_log": 2}\n')
    with pytest.raises(ValueError, match="Install a newer"):
        LabelLog(path).__enter__()
    with pytest.raises(ValueError, match="Install a newer"):
        list(read_records(path))


def test_a_second_server_on_the_log_is_refused(path: Path) -> None:
    with LabelLog(path) as log:
        log.give("FOOD", [SOUP])
        with pytest.raises(ValueError, match="used by another `embtune label`"):
            LabelLog(path).__enter__()
    with LabelLog(path):
        pass


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_texts_and_labels_come_back_as_they_are(path: Path, hostile: str) -> None:
    text = LoggedText.of(hostile, hostile)
    with LabelLog(path) as log:
        log.give(hostile, [text])
    assert path.read_bytes().count(b"\n") == 2
    with LabelLog(path) as log:
        assert log.notes == []
        assert log.state.all_cats() == {text.digest: {hostile: 1.0}}
        assert log.state.texts[text.digest] == text


def test_after_a_full_disk_the_log_is_as_before(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write

    def write_a_part(file: int, data: bytes) -> int:
        if len(data) > 10:
            return write(file, data[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with LabelLog(path) as log:
        log.give("FOOD", [SOUP])
        before = path.read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", write_a_part)
            with pytest.raises(OSError, match="no room"):
                log.give("FOOD", [BALL])
        assert path.read_bytes() == before
        assert set(log.state.all_cats()) == {SOUP.digest}
        log.give("FOOD", [BALL])
    assert set(read(path)) == {"Soup.", "Ball."}


WRITER = """
import sys
from pathlib import Path
from spacy_embtune.app import LabelLog
from spacy_embtune.data import LoggedText
with LabelLog(Path(sys.argv[1])) as log:
    for i in range(100_000):
        log.give("FOOD", [LoggedText.of(f"text {i}" * 50, str(i))])
        print(i, flush=True)
"""


@pytest.mark.slow
def test_kill_9_loses_nothing_that_was_confirmed(path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for _ in range(200):
            confirmed = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        confirmed = max([confirmed, *map(int, process.stdout.read().split())])
    with LabelLog(path) as log:
        ids = {text.id for text in log.state.texts.values()}
        assert {str(i) for i in range(confirmed + 1)} <= ids
        log.give("FOOD", [SOUP])
    assert len(read(path)) == len(ids) + 1


def test_each_line_is_json_with_the_text_itself(path: Path) -> None:
    with LabelLog(path) as log:
        log.give("FOOD", [SOUP])
    first, second = map(json.loads, path.read_text().splitlines())
    assert first == {"embtune_label_log": 1, "exclusive": True}
    assert second["texts"] == [{"digest": SOUP.digest, "id": "0", "text": "Soup."}]
