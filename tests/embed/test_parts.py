import json
import logging
import subprocess
import sys

import pytest

from spacy_embtune.embed._parts import Parts

SETTINGS = {"pipeline": "abc", "what": "tuned"}


def make(tmp_path, *, force=False, **changes):
    return Parts(tmp_path / "out.npz", ".npz", {**SETTINGS, **changes}, force=force)


def fill(parts, n, *, start=0, text="contents"):
    for number in range(start, n):
        data = f"{text} {number}"
        parts.add(number, f"digest {number}", 10, lambda path, data=data: write(path, data))


def write(path, data):
    path.write_text(data)
    return {"length": len(data)}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "out.npz.parts"


def test_chunks_are_found_again(tmp_path, folder):
    parts = make(tmp_path)
    with parts.open():
        fill(parts, 3)
    assert (parts.n_done, parts.n_kept) == (30, 0)
    again = make(tmp_path)
    with again.open():
        found = [again.find(number, f"digest {number}") for number in range(4)]
        again.end(3)
    assert [part.path.read_text() for part in found[:3]] == [f"contents {i}" for i in range(3)]
    assert [(part.n, part.info) for part in found[:3]] == [(10, {"length": 10})] * 3
    assert found[3] is None
    assert (again.n_done, again.n_kept) == (30, 30)
    names = {path.name for path in folder.iterdir()} - {"lock"}
    chunks = [f"00000{i}{suffix}" for i in range(3) for suffix in (".json", ".npz")]
    assert names == {"settings.json", *chunks}


def test_a_finished_result_leaves_nothing(tmp_path, folder):
    parts = make(tmp_path)
    with parts.open():
        fill(parts, 3)
        parts.remove()
    assert not folder.exists()


def test_a_run_without_a_chunk_leaves_nothing_but_earlier_chunks_stay(tmp_path, folder):
    with pytest.raises(ZeroDivisionError), make(tmp_path).open():
        raise ZeroDivisionError
    assert not folder.exists()
    parts = make(tmp_path)
    with parts.open():
        fill(parts, 1)
    with pytest.raises(ZeroDivisionError), make(tmp_path).open():
        raise ZeroDivisionError
    assert (folder / "000000.npz").exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "000001.npz").write_text("conte"),
        lambda folder: (folder / "000001.npz").write_text("contents 2"),
        lambda folder: (folder / "000001.npz").unlink(),
        lambda folder: (folder / "000001.json").unlink(),
        lambda folder: (folder / "000001.json").write_text('{"input": "digest 1", "n": 10'),
        lambda folder: (folder / "000001.json").write_text('{"input": "digest 1", "n": 10}'),
        lambda folder: (folder / "000001.json").write_text("[]"),
        lambda folder: (folder / "000001.json").write_text(""),
    ],
)
def test_a_chunk_that_is_not_whole_is_made_again(tmp_path, folder, damage):
    parts = make(tmp_path)
    with parts.open():
        fill(parts, 3)
    damage(folder)
    again = make(tmp_path)
    with again.open():
        assert again.find(0, "digest 0") is not None
        assert again.find(1, "digest 1") is None
        fill(again, 2, start=1)
        assert again.find(2, "digest 2") is not None
    assert (folder / "000001.npz").read_text() == "contents 1"
    assert (again.n_done, again.n_kept) == (30, 20)


def test_damage_is_logged(tmp_path, folder, caplog):
    parts = make(tmp_path)
    with parts.open():
        fill(parts, 1)
        (folder / "000000.npz").write_text("half")
        with caplog.at_level(logging.WARNING, "spacy_embtune"):
            parts.find(0, "digest 0")
    assert [r.getMessage() for r in caplog.records] == [
        f"{folder / '000000.npz'} is damaged and is made again."
    ]


def test_what_fails_while_it_is_written_leaves_no_chunk(tmp_path, folder):
    def fail(path):
        path.write_text("half")
        raise OSError

    parts = make(tmp_path)
    with parts.open():
        fill(parts, 1)
        with pytest.raises(OSError):
            parts.add(1, "digest 1", 10, fail)
        assert parts.find(1, "digest 1") is None
        assert not list(folder.glob("*unfinished*"))
    assert parts.n_done == 10


def test_what_a_killed_run_left_half_written_is_removed(tmp_path, folder):
    folder.mkdir()
    for name in ("unfinished.npz", "unfinished.json", ".out.123.unfinished.npz"):
        (folder / name).write_text("half")
    with make(tmp_path).open():
        assert {path.name for path in folder.iterdir()} == {"settings.json", "lock"}


def test_other_settings_are_refused_with_what_has_changed(tmp_path, folder):
    parts = make(tmp_path)
    with parts.open():
        fill(parts, 2)
    with (
        pytest.raises(ValueError, match=r"settings: what was tuned, and is base\..*--force") as e,
        make(tmp_path, what="base").open(),
    ):
        pass
    assert "pipeline" not in str(e.value)
    assert (folder / "000001.npz").exists()
    with make(tmp_path, what="base", force=True).open():
        assert {path.name for path in folder.iterdir()} == {"settings.json", "lock"}
        assert json.loads((folder / "settings.json").read_text())["what"] == "base"


def test_force_keeps_chunks_of_the_same_settings(tmp_path):
    parts = make(tmp_path)
    with parts.open():
        fill(parts, 2)
    forced = make(tmp_path, force=True)
    with forced.open():
        assert forced.find(0, "digest 0") is not None


def test_another_input_is_refused_with_where_it_differs(tmp_path):
    parts = make(tmp_path)
    with parts.open():
        fill(parts, 3)
    again = make(tmp_path)
    with again.open():
        again.find(0, "digest 0")
        with pytest.raises(ValueError, match="another input: record 11 to 20 is not what it was"):
            again.find(1, "other")
        again.find(1, "digest 1")
        with pytest.raises(ValueError, match="what comes after record 20 is not"):
            again.end(2)
    forced = make(tmp_path, force=True)
    with forced.open():
        assert forced.find(1, "other") is None
        forced.end(2)


@pytest.mark.parametrize("name", ["letter.txt", "000001.npz", "000001"])
def test_a_directory_of_somebody_else_is_not_touched(tmp_path, folder, name):
    folder.mkdir()
    (folder / name).write_text("Dear")
    for force in (False, True):
        with (
            pytest.raises(ValueError, match=f"holds something else: {name}. Move it away"),
            make(tmp_path, force=force).open(),
        ):
            pass
    assert [path.name for path in folder.iterdir()] == [name]


def test_a_file_in_the_place_of_the_directory_is_not_touched(tmp_path, folder):
    folder.write_text("a file")
    with pytest.raises(ValueError, match="it is a file"), make(tmp_path).open():
        pass


HOLD = """
import sys
from pathlib import Path
from spacy_embtune.embed._parts import Parts

with Parts(Path(sys.argv[1]), ".npz", {}, force=False).open():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.slow
def test_two_processes_do_not_write_at_once_and_a_killed_one_lets_go(tmp_path):
    out = tmp_path / "out.npz"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(out)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout.readline() == b"held\n"
        with (
            pytest.raises(ValueError, match="Another process is writing"),
            Parts(out, ".npz", {}, force=True).open(),
        ):
            pass
    finally:
        process.kill()
        process.communicate()
    with Parts(out, ".npz", {}, force=False).open():
        pass
