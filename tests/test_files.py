import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from spacy_embtune._files import (
    NoRoomError,
    StorageError,
    atomic_directory,
    atomic_path,
    describe_bytes,
    describe_file,
    is_intact,
    load_manifest,
    read_json,
    remembered_sha256,
    replaced_manifest,
    require_intact,
    write_json,
)


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


# directories


def test_a_directory_gets_its_name_when_it_is_complete(tmp_path):
    path = tmp_path / "out"
    for content in ("old", "new"):
        with atomic_directory(path) as unfinished:
            assert not unfinished.exists()
            unfinished.mkdir()
            (unfinished / content).write_text(content)
    assert [p.name for p in path.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_directory_stays_as_it_was_if_the_new_one_fails(tmp_path):
    path = tmp_path / "out"
    path.mkdir()
    (path / "old").write_text("old")

    def write():
        with atomic_directory(path) as unfinished:
            unfinished.mkdir()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert [p.name for p in path.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [path]


# JSON and manifests


def test_json_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "a.json"
    assert read_json(path) is None
    write_json(path, {"ä": [1, None]})
    assert read_json(path) == {"ä": [1, None]}
    with pytest.raises(TypeError):
        write_json(path, {"ä": object()})
    assert read_json(path) == {"ä": [1, None]}
    for content in ("[]", "{", "\xff"):
        path.write_bytes(content.encode("latin1"))
        assert read_json(path) is None
    assert read_json(path / "below a file") is None


def test_a_file_is_intact_if_size_and_digest_are_those_of_its_entry(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    entry = describe_file(path)
    assert entry == describe_bytes(b"abc")
    for digest in ({}, {"digest": remembered_sha256}):
        assert is_intact(path, entry, **digest)
        assert is_intact(path, {"sha256": entry["sha256"]}, **digest)
        assert not is_intact(path, {**entry, "size": 4}, **digest)
        assert not is_intact(tmp_path / "none", entry, **digest)
    path.write_bytes(b"abd")
    assert not is_intact(path, entry)
    assert not is_intact(path, {"sha256": entry["sha256"]})
    with pytest.raises(StorageError, match=r"The thing in .* is damaged: a is missing.*Mend it"):
        require_intact(path, entry, what="thing", cure="Mend it.")


def test_a_remembered_digest_is_computed_again_when_the_file_changes(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    before = remembered_sha256(path)
    assert remembered_sha256(path) == before == describe_bytes(b"abc")["sha256"]
    path.write_bytes(b"abcd")
    assert remembered_sha256(path) == describe_bytes(b"abcd")["sha256"]


def test_a_manifest_is_away_while_its_files_are_written(tmp_path):
    path = tmp_path / "manifest.json"
    with replaced_manifest(path) as manifest:
        manifest["format"] = 1
    assert read_json(path) == {"format": 1}

    def write():
        with replaced_manifest(path) as manifest:
            assert not path.exists()
            manifest["format"] = 2
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [{}, {"format": "1", "files": {}}, {"format": 1}, None])
def test_an_incomplete_manifest_is_an_error_with_a_cure(tmp_path, content):
    path = tmp_path / "manifest.json"
    settings = {"what": "thing", "newest": 1, "keys": {"files": dict}, "cure": "Save it again."}
    if content is not None:
        write_json(path, content)
    with pytest.raises(StorageError, match=r"no complete thing in .*manifest.json.*Save it again"):
        load_manifest(path, **settings)
    write_json(path, {"format": 2, "files": {}})
    with pytest.raises(StorageError, match=r"newer spacy-embtune \(format 2.*up to 1.*Upgrade"):
        load_manifest(path, **settings)
    write_json(path, {"format": 1, "files": {}, "more": 3})
    assert load_manifest(path, **settings)["more"] == 3
