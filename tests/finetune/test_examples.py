"""The examples run on data of the same form, and what they print is what they measured."""

import json
import re
import runpy
import sys
from pathlib import Path

import pytest

from ..conftest import make_texts

PNG = b"\x89PNG"
EXAMPLES = Path(__file__).parent.parent.parent / "examples"


@pytest.fixture
def run(monkeypatch, capsys, tiny_encoder):
    """Runs an example as `python examples/NAME ARGUMENTS` does, and returns what it prints."""

    def run_example(name, *arguments):
        monkeypatch.setattr(sys, "path", [str(EXAMPLES), *sys.path])
        command = [name, *map(str, arguments), "--encoder", str(tiny_encoder)]
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as stopped:
            runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        printed = capsys.readouterr()
        return stopped.value.code or 0, re.sub(r"\x1b\[[0-9;]*m", "", printed.out)

    yield run_example
    sys.modules.pop("comparison", None)


def write(folder, to_cats, *, n_train=90, n_test=60):
    folder.mkdir(exist_ok=True)
    for part, n, seed in (("train", n_train, 0), ("test", n_test, 1)):
        rows = [
            json.dumps({"text": text, "cats": to_cats(i, topic)})
            for i, (text, topic) in enumerate(make_texts(n, seed=seed))
        ]
        (folder / f"{part}.jsonl").write_text("\n".join(rows) + "\n", encoding="utf8")
    return folder


def table(printed):
    """RETURNS (dict): Base and tuned score, and their difference, by metric."""
    rows = re.findall(r"^(\S.*?) {2,}(-?[\d.]+) +(-?[\d.]+) +([+-][\d.]+)$", printed, re.MULTILINE)
    return {name: tuple(map(float, numbers)) for name, *numbers in rows}


@pytest.mark.slow
def test_review_sentiment(run, tmp_path):
    data = write(
        tmp_path / "reviews", lambda i, topic: {"pos": topic == "FOOD", "neg": topic != "FOOD"}
    )
    picture = tmp_path / "reviews.png"
    code, printed = run(
        "review_sentiment.py", data, "--texts", 60, "--test", 50, "--picture", picture
    )
    assert code == 0
    assert "60 texts to learn from, 50 held out" in printed
    widths = re.split("A hidden layer of (?=10 |200 )", printed.split("Picture")[0])[1:]
    assert [part.split()[0] for part in widths] == ["200", "10"]
    for part in widths:
        scores = table(part)
        assert len(scores) == 4
        for base, tuned, difference in scores.values():
            assert difference == pytest.approx(tuned - base, abs=0.0011)
        assert scores["p@1"][1] > scores["p@1"][0]
        assert scores["MAP@R"][1] > scores["MAP@R"][0]
        accuracy = re.search(r"own predictions: ([\d.]+)", part)
        assert float(accuracy[1]) > 0.8
    assert picture.read_bytes().startswith(PNG)
    assert max(map(len, printed.replace(str(tmp_path), "").splitlines())) <= 80


@pytest.mark.slow
def test_review_sentiment_on_other_labels_and_with_a_cache(run, tmp_path):
    data = write(
        tmp_path / "topics",
        lambda i, topic: {name: name == topic for name in ("FOOD", "MUSIC", "SPORT")},
    )
    cache = tmp_path / "vectors"
    code, printed = run("review_sentiment.py", data, "--cache", cache)
    assert code == 0
    assert "90 texts to learn from, 60 held out" in printed
    assert any(cache.iterdir())
    again = run("review_sentiment.py", data, "--cache", cache)[1]
    assert table(again) == table(printed)


@pytest.mark.slow
def test_new_dataset(run, tmp_path):
    def to_cats(i, topic):
        # Of some texts only another label is known.
        return {"other": 1} if i % 7 == 0 else {"new-dataset": int(topic == "FOOD")}

    data = write(tmp_path / "abstracts", to_cats)
    picture = tmp_path / "abstracts.png"
    code, printed = run("new_dataset.py", data, "--found", 5, "--picture", picture)
    assert code == 0
    assert picture.read_bytes().startswith(PNG)
    printed = printed[: printed.index("Picture in")].rstrip("✔ \n")
    assert "77 sentences to learn from" in printed
    scores = table(printed)
    assert len(scores) == 4
    assert scores["MAP@R"][1] > scores["MAP@R"][0]
    hits = {name: int(n) for name, n in re.findall(r"labelled ones, (\w+): (\d+)", printed)}
    assert hits["tuned"] > hits["base"]
    found = printed.split("Nearest, tuned")[1].splitlines()[1:]
    assert [line[0] for line in found if line] == ["+"] * 5
    assert max(map(len, printed.splitlines())) <= 80


def topics(i, topic):
    return {name: float(name == topic) for name in ("FOOD", "MUSIC", "SPORT")}


@pytest.mark.slow
def test_pipeline(run, tmp_path):
    data = write(tmp_path / "topics", topics)
    code, printed = run("pipeline.py", data, "--texts", 60, "--cache", tmp_path / "vectors")
    assert code == 0
    assert "60 texts to learn from, 60 held out" in printed
    rows = re.findall(r"^(\(no tuner\)|\w+Tuner) +([\d.]+) +([\d.]+)$", printed, re.MULTILINE)
    assert [name for name, *_ in rows] == ["(no tuner)", "FeedForwardTuner", "ContrastiveTuner"]
    base, *tuned = (float(nearest) for _, nearest, _ in rows)
    assert min(tuned) > base
    best = re.search(r"Best settings: (\{.*\}), held-out accuracy ([\d.]+)", printed)
    assert {"hidden_dim", "C"} == set(re.findall(r"'(\w+)'", best[1]))
    assert float(best[2]) > 0.7


@pytest.mark.slow
def test_stream(run, tmp_path):
    data = write(tmp_path / "topics", topics)
    picture = tmp_path / "stream.png"
    code, printed = run("stream.py", data, "--batch", 30, "--passes", 20, "--picture", picture)
    assert code == 0
    rows = re.findall(r"^ +(\d+) +([\d.]+) +([\d.]+|-)$", printed, re.MULTILINE)
    assert [int(n) for n, *_ in rows] == [0, 30, 60, 90]
    assert float(rows[-1][1]) > float(rows[0][1])
    assert float(rows[-1][2]) > 0.7
    assert picture.read_bytes().startswith(PNG)


@pytest.mark.slow
def test_finetune_encoder(run, tmp_path):
    data = write(tmp_path / "topics", topics)
    picture = tmp_path / "encoder.png"
    code, printed = run(
        "finetune_encoder.py", data, "--layers", 1, "--per-label", 8, "--picture", picture
    )
    assert code == 0
    assert "24 texts to learn from, 60 held out" in printed
    scores = table(printed)
    assert len(scores) == 4
    assert scores["MAP@R"][1] > scores["MAP@R"][0]
    assert picture.read_bytes().startswith(PNG)


@pytest.mark.slow
def test_another_label_can_be_asked_for(run, tmp_path):
    data = write(tmp_path / "abstracts", lambda i, topic: {"LOUD": int(topic != "FOOD")})
    code, printed = run("new_dataset.py", data, "--label", "LOUD")
    assert code == 0
    assert "60 of them LOUD" in printed


@pytest.mark.parametrize(
    ("name", "break_it", "match"),
    [
        (
            "review_sentiment.py",
            lambda data: (data / "test.jsonl").unlink(),
            "There is no .*test.jsonl",
        ),
        (
            "new_dataset.py",
            lambda data: (data / "train.jsonl").unlink(),
            "There is no .*train.jsonl",
        ),
        ("new_dataset.py", lambda data: None, "needs texts with and without the label"),
    ],
)
def test_data_that_is_not_there_is_an_error(name, break_it, match, run, tmp_path):
    data = write(tmp_path / "data", lambda i, topic: {"A": 1, "B": 0})
    break_it(data)
    code, printed = run(name, data)
    assert code == 1
    assert re.search(match, printed.replace("\n", " "))


@pytest.mark.slow
def test_two_sides(run, tmp_path):
    data = write(tmp_path / "topics", topics)
    code, printed = run("two_sides.py", data, "--words", 50, "--fewest", 4)
    assert code == 0
    assert "pairs to learn from" in printed
    assert re.search(r"bags of \d+ words", printed)
    rows = re.findall(r"^MRR +([\d.]+) +([\d.]+)", printed, re.MULTILINE)
    assert len(rows) == 2
    for chance, tuned in rows:
        assert float(tuned) > float(chance)
    assert "no cosines" in printed.replace("\n", " ")
    assert max(map(len, printed.splitlines())) <= 80
    code, printed = run("two_sides.py", data, "--fewest", 999)
    assert code == 1
    assert "No text of train.jsonl has 999 words" in printed
