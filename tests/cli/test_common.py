import logging
import os
import subprocess
import sys
import textwrap

import pytest
import spacy
import typer
from typer.testing import CliRunner

from spacy_embtune.cli import app
from spacy_embtune.cli._common import (
    SkippedRecords,
    check_output,
    fail,
    good,
    load_pipeline,
    reporting_errors,
    warn,
)


def run(command, *args):
    """RETURNS (Result): What becomes of a command."""
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, list(args))


def words(text):
    return " ".join(text.split())


def test_a_failure_is_told_on_standard_error_with_an_exit_code():
    result = run(lambda: fail("Nothing was done", "The cause.\nThe cure " + "x " * 60, code=3))
    assert result.exit_code == 3
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert lines[:2] == ["✘ Nothing was done", "The cause."]
    assert max(map(len, lines)) <= 80


def test_warnings_go_to_standard_error_and_what_is_done_to_standard_output():
    def command():
        warn("Take care", "Really.")
        good("Done")

    result = run(command)
    assert (result.stdout, result.stderr) == ("✔ Done\n", "⚠ Take care\nReally.\n")


@pytest.mark.parametrize(
    ("error", "code", "expected"),
    [
        (ValueError("The cause. The cure."), 1, "✘ Nothing was written\nThe cause. The cure.\n"),
        (OSError(13, "Not allowed", "x"), 1, "✘ Nothing was written\nx: Not allowed.\n"),
        (OSError("No disk."), 1, "✘ Nothing was written\nNo disk.\n"),
        (ImportError("Install it."), 1, "✘ Nothing was written\nInstall it.\n"),
        (KeyboardInterrupt(), 130, "✘ Interrupted\nNothing was written.\n"),
    ],
)
def test_errors_end_a_command_without_a_traceback(error, code, expected):
    def command():
        with reporting_errors():
            raise error

    result = run(command)
    assert (result.exit_code, result.stderr) == (code, expected)


@pytest.mark.parametrize("error", [ValueError("The cause."), KeyboardInterrupt()])
def test_what_was_noted_on_an_error_is_told_as_well(error):
    error.add_note("100 records are kept.")

    def command():
        with reporting_errors("No file was written"):
            raise error

    lines = run(command).stderr.splitlines()
    assert lines[-1] == "100 records are kept."
    assert lines[1:-1] == [str(error)] * bool(str(error))


def test_errors_of_the_program_stay_tracebacks():
    def command():
        with reporting_errors():
            raise KeyError("bug")

    assert isinstance(run(command).exception, KeyError)


def test_a_failure_within_is_told_once():
    def command():
        with reporting_errors():
            fail("First", code=7)

    result = run(command)
    assert (result.exit_code, result.stderr) == (7, "✘ First\n")


def test_logged_warnings_are_told_on_lines_of_their_own():
    def command():
        with reporting_errors():
            logging.getLogger("spacy_embtune.some.module").warning("Take %s.", "care " * 30)

    result = run(command)
    assert words(result.stderr) == words("Take " + "care " * 30) + " ."
    assert max(map(len, result.stderr.splitlines())) <= 80
    assert logging.getLogger("spacy_embtune").handlers == []


@pytest.mark.slow
def test_a_reader_who_leaves_is_no_error():
    program = textwrap.dedent(
        """
        import typer
        from spacy_embtune.cli._common import reporting_errors

        def command():
            with reporting_errors():
                for _ in range(100_000):
                    print("a long line of output")

        typer.run(command)
        """
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 1


# Pipelines


def load(*args, **settings):
    loaded = []
    result = run(lambda: loaded.append(load_pipeline(*args, **settings)))
    return loaded, result.exit_code, words(result.stderr)


@pytest.mark.slow
def test_a_pipeline_is_loaded_with_its_component(tmp_path, make_nlp):
    make_nlp(name="mine").to_disk(tmp_path)
    ((nlp, component),), code, _ = load(str(tmp_path), None)
    assert code == 0
    assert component is nlp.get_pipe("mine")


@pytest.mark.slow
def test_a_pipeline_with_several_needs_a_name(tmp_path, make_nlp):
    nlp = make_nlp()
    config = {"extension": "other", "base_extension": "other_base"}
    nlp.add_pipe("embtune", name="other", config=config)
    nlp.to_disk(tmp_path)
    loaded, code, message = load(str(tmp_path), None)
    assert (loaded, code) == ([], 1)
    assert "✘ The pipeline cannot be used" in message
    assert "several embtune components: 'embtune', 'other'" in message
    ((loaded_nlp, component),), code, _ = load(str(tmp_path), "other")
    assert component is loaded_nlp.get_pipe("other")


def test_what_is_no_such_pipeline_is_named(tmp_path):
    assert "Can't find model 'nowhere'" in load("nowhere", None)[2]
    spacy.blank("en").to_disk(tmp_path / "blank")
    loaded, code, message = load(str(tmp_path / "blank"), None)
    assert (loaded, code) == ([], 1)
    assert "has no embtune component" in message
    (tmp_path / "empty").mkdir()
    assert load(str(tmp_path / "empty"), None)[1] == 1


def test_functions_that_a_config_names_come_from_a_file(tmp_path):
    nlp = spacy.blank("en")
    nlp.to_disk(tmp_path / "pipeline")
    config = tmp_path / "pipeline" / "config.cfg"
    text = config.read_text().replace("before_creation = null", 'before_creation = {"@callbacks": ')
    config.write_text(text.replace('{"@callbacks": ', '{"@callbacks": "made_up.v1"}'))
    assert "made_up" in load(str(tmp_path / "pipeline"), None)[2]
    code = tmp_path / "functions.py"
    code.write_text(
        "import spacy\n\n@spacy.registry.callbacks('made_up.v1')\ndef make():\n"
        "    return lambda cls: cls\n"
    )
    # It gets further.
    message = load(str(tmp_path / "pipeline"), None, code=code)[2]
    assert "has no embtune component" in message


# Where to write


def test_an_output_that_can_be_written_is_accepted(tmp_path):
    path = tmp_path / "a.PNG"
    check_output(path, force=False, suffixes=[".png", ".svg"])
    path.write_text("old")
    check_output(path, force=True, suffixes=[".png"])
    assert path.read_text() == "old"


def test_an_output_that_cannot_be_written_ends_the_command(tmp_path):
    def check(path, *, force=False, suffixes=(".png",)):
        result = run(lambda: check_output(path, force=force, suffixes=suffixes))
        assert result.exit_code == 1
        return words(result.stderr)

    (tmp_path / "there.png").write_text("old")
    (tmp_path / "folder.png").mkdir()
    assert "exists already Give another name, or replace it: --force" in check(
        tmp_path / "there.png"
    )
    assert "ends in .png." in check(tmp_path / "a.jpg", force=True)
    several = check(tmp_path / "a", suffixes=[".png", ".svg", ".html"])
    assert "ends in .png, .svg or .html." in several
    assert "It is a directory" in check(tmp_path / "folder.png", force=True)
    assert "There is no directory" in check(tmp_path / "none" / "a.png")


@pytest.mark.parametrize("n", [0, 1, 3, 5, 6, 40])
def test_of_records_that_are_skipped_the_first_are_shown_and_all_counted(n):
    def command():
        skipped = SkippedRecords()
        for i in range(n):
            skipped(f"data.jsonl, line {i}: is not JSON.")
        skipped.conclude()

    result = run(command)
    lines = result.stderr.splitlines()
    shown = [f"Skipped data.jsonl, line {i}: is not JSON." for i in range(min(n, 5))]
    assert lines[: len(shown)] == shown
    rest = lines[len(shown) :]
    if n == 0:
        assert rest == []
    else:
        counted = "1 record that is" if n == 1 else f"{n} records that are"
        assert rest[-1] == f"⚠ Left out {counted} invalid"
        assert len(rest) == 1 + (n > 5)


@pytest.mark.slow
def test_spacy_finds_the_commands():
    command = [sys.executable, "-m", "spacy", "embtune"]
    environment = {**os.environ, "COLUMNS": "80"}
    result = subprocess.run(
        [*command, "--help"], capture_output=True, text=True, check=True, env=environment
    )
    for name in typer.main.get_command(app).commands:
        assert f"{name} " in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80
