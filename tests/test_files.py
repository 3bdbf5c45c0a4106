import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from spacy_embtune._files import NoRoomError, atomic_path


@contextmanager
def files_limited_to(n_bytes: int) -> Iterator[None]:
    """Let the system refuse larger files, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("old", [None, "old"])
def test_a_file_gets_its_name_when_it_is_whole(tmp_path, old):
    path = tmp_path / "a.b.png"
    if old:
        path.write_text(old)
    with atomic_path(path) as unfinished:
        assert unfinished.parent == tmp_path
        assert unfinished.suffix == ".png"
        unfinished.write_text("new")
        assert (path.read_text() if path.exists() else None) == old
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("old", [None, "old"])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_what_goes_wrong_leaves_everything_as_it_was(tmp_path, old, error):
    path = tmp_path / "a.txt"
    if old:
        path.write_text(old)

    def write():
        with atomic_path(path) as unfinished:
            unfinished.write_text("half")
            raise error

    with pytest.raises(error):
        write()
    assert [p.read_text() for p in tmp_path.iterdir()] == ([old] if old else [])


def test_a_full_disk_is_named_and_nothing_is_left(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with (
        files_limited_to(10_000),
        pytest.raises(NoRoomError, match=r"There is no room for .*a.txt \(.*\). Free some space"),
        atomic_path(path) as unfinished,
    ):
        unfinished.write_bytes(bytes(20_000))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_other_errors_of_the_disk_stay_what_they_are(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "none" / "a.txt") as unfinished:
        unfinished.write_text("a")
    with pytest.raises(IsADirectoryError), atomic_path(tmp_path) as unfinished:
        unfinished.write_text("a")
    assert list(tmp_path.iterdir()) == []


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real" / "a.txt", tmp_path / "link.txt"
    target.write_text("old")
    link.symlink_to(target)
    with atomic_path(link) as unfinished:
        unfinished.write_text("new")
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_the_unfinished_file_may_lie_elsewhere(tmp_path):
    folder = tmp_path / "parts"
    folder.mkdir()
    with atomic_path(tmp_path / "a.txt", within=folder) as unfinished:
        assert unfinished.parent == folder
        unfinished.write_text("a")
    assert Path(tmp_path / "a.txt").read_text() == "a"
    assert list(folder.iterdir()) == []
