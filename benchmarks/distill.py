"""Students of a tuned pipeline against their teacher, the encoder without tuning, and model2vec.

python benchmarks/distill.py DATA_DIR --sets trec,sst2,ag_news --draws 3 --seconds 120

DATA_DIR holds a directory a set with train.jsonl and test.jsonl, {"text", "cats"} a line. A draw
takes 200 labelled texts of train for the teacher (configs/encoder.cfg), PILE other ones without
labels for the students, and TEST texts of test to measure all of them. model2vec: its own static
model of the encoder (extra `distill` of model2vec), with a contrastive head trained on the same
200 labels.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import spacy
import torch
import typer
from common import METRICS, read_rows, score_vectors, setfit_arguments, spread
from spacy.cli.train import train as spacy_train
from spacy.language import Language

from spacy_embtune import ContrastiveTuner
from spacy_embtune.data import read_records
from spacy_embtune.distillation import distill, save_student
from spacy_embtune.embed import embed_corpus
from spacy_embtune.encoder import DEFAULT_ENCODER, EncoderSettings, TextEncoder, find_layers

CONFIG = Path(__file__).parent.parent / "configs" / "encoder.cfg"
N_LABELLED = 200


def main(
    data: Annotated[Path, typer.Argument(help="Directory of the sets")],
    sets: Annotated[str, typer.Option(help="Names, with commas")] = "trec,sst2,ag_news",
    draws: Annotated[int, typer.Option(help="Draws of labelled texts")] = 3,
    first_draw: Annotated[int, typer.Option(help="Seed of the first draw")] = 0,
    pile: Annotated[int, typer.Option(help="Texts without labels")] = 4000,
    test: Annotated[int, typer.Option(help="Texts to measure on")] = 500,
    seconds: Annotated[float, typer.Option(help="Bound for the training of layers")] = 120,
    students: Annotated[str, typer.Option(help="Students, with commas")] = "static,layers:3",
    setfit: Annotated[
        int, typer.Option(help="Texts for SetFit's distillation, 40 pairs each; 0: leave it out")
    ] = 0,
    threads: Annotated[int, typer.Option(help="Threads of torch")] = 2,
    speed: Annotated[bool, typer.Option(help="Measure speed, too")] = True,
) -> None:
    """Print a table of the metrics of each set, their mean, and speeds."""
    torch.set_num_threads(threads)
    found: dict[str, dict[str, list[list[float]]]] = {}
    for name in sets.split(","):
        found[name] = {}
        for draw in range(first_draw, first_draw + draws):
            with tempfile.TemporaryDirectory() as folder:
                rows = run(
                    *(
                        data / name,
                        draw,
                        Path(folder),
                        pile,
                        test,
                        seconds,
                        students.split(","),
                        setfit,
                    ),
                    with_speed=speed and draw == first_draw,
                )
            for kind, values in rows.items():
                found[name].setdefault(kind, []).append(values)
            show(name, found[name])
    mean = {
        kind: [
            list(np.mean([found[name][kind][i] for name in found], axis=0)) for i in range(draws)
        ]
        for kind in next(iter(found.values()))
    }
    show("mean of the sets", mean)


def show(title: str, rows: dict[str, list[list[float]]]) -> None:
    """Print the table of a set, with the share of the teacher's MAP@R that is kept."""
    shown = METRICS[:4]
    print(f"\n{title}\n\n| | {' | '.join(shown)} | kept |\n|---|{'---|' * (len(shown) + 1)}")
    teacher = [values[3] for values in rows["teacher"]]
    for kind, draws in rows.items():
        cells = [spread([values[i] for values in draws], ".3f") for i in range(len(shown))]
        kept = spread([values[3] / of for values, of in zip(draws, teacher, strict=True)], ".2f")
        print(f"| {kind} | {' | '.join(cells)} | {kept} |", flush=True)


def run(
    source: Path,
    draw: int,
    folder: Path,
    n_pile: int,
    n_test: int,
    seconds: float,
    students: list[str],
    n_setfit: int,
    *,
    with_speed: bool,
) -> dict[str, list[float]]:
    """RETURNS (dict[str, list[float]]): The metrics of each kind of vectors."""
    rng = np.random.default_rng(draw)
    train, test = (read_rows(source / f"{part}.jsonl") for part in ("train", "test"))
    order = rng.permutation(len(train))
    labelled = [train[i] for i in order[:N_LABELLED]]
    pile = [train[i]["text"] for i in order[N_LABELLED : N_LABELLED + n_pile]]
    measured = [test[i] for i in rng.permutation(len(test))[:n_test]]
    teacher = train_teacher(labelled, folder, draw)
    texts = [[row["text"] for row in rows] for rows in (labelled, measured)]
    [[max(row["cats"], key=row["cats"].get) for row in rows] for rows in (labelled, measured)]
    base = TextEncoder.load(EncoderSettings(DEFAULT_ENCODER))

    def score(vectors: list[Any]) -> list[float]:
        return score_vectors(*vectors, labelled, measured)

    rows = {"base": score([base.encode(part) for part in texts])}
    rows["teacher"] = score([tuned(teacher, part) for part in texts])
    for student in students:
        found = distill(teacher, pile, student=student, seconds=seconds, work_dir=folder / "work")
        rows[student] = score([tuned(found.nlp, part) for part in texts])
        print(
            f"{source.name}, draw {draw}, {student}: {found.seconds:.0f} s, teacher "
            f"{found.teacher_seconds:.0f} s; {dict(found.fidelity)}; {found.verdicts}",
            flush=True,
        )
        save_student(found, folder / student.replace(":", ""))
    if n_setfit:
        vectors = setfit_vectors(teacher, texts, labelled, pile[:n_setfit], draw)
        rows[f"SetFit, 3 layers, {n_setfit} texts"] = score(vectors)
    for title, vectors in model2vec_vectors(texts, labelled, draw).items():
        rows[title] = score(vectors)
    if with_speed:
        measure_speed(folder, students, pile)
    return rows


def train_teacher(rows: list[dict[str, Any]], folder: Path, draw: int) -> Language:
    """RETURNS (Language): A pipeline that configs/encoder.cfg trained."""
    path = folder / "labelled.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf8")
    spacy_train(
        CONFIG,
        folder / "teacher",
        overrides={
            "paths.train": str(path),
            "paths.dev": str(path),
            "training.eval_frequency": 20,
            "system.seed": draw,
        },
    )
    return spacy.load(folder / "teacher" / "model-last")


def tuned(nlp: Language, texts: list[str]) -> Any:
    """RETURNS (ndarray): The tuned vectors of texts."""
    pipe: Any = nlp.get_pipe("embtune")
    return pipe.predict(texts).tuned


def model2vec_vectors(
    texts: list[list[str]], labelled: list[dict[str, Any]], draw: int
) -> dict[str, list[Any]]:
    """RETURNS (dict[str, list]): The vectors of model2vec's static model of the encoder, and the
    same through a head that learned the labels."""
    from model2vec.distill import distill_from_model

    encoder: Any = TextEncoder.load(EncoderSettings(DEFAULT_ENCODER)).model
    static = distill_from_model(encoder[0].auto_model, encoder.tokenizer)
    vectors = [static.encode(part) for part in texts]
    labels = [max(row["cats"], key=row["cats"].get) for row in labelled]
    head = ContrastiveTuner(random_state=draw).fit(vectors[0], labels)
    return {
        "model2vec": vectors,
        "model2vec + head": [head.transform(part) for part in vectors],
    }


def setfit_vectors(
    teacher: Language,
    texts: list[list[str]],
    labelled: list[dict[str, Any]],
    pile: list[str],
    draw: int,
) -> list[Any]:
    """RETURNS (list): The vectors of the first three layers of the encoder after SetFit's
    distillation of the teacher's encoder: it compares the cosines of pairs of texts."""
    arguments = setfit_arguments(draw)
    from datasets import Dataset
    from setfit import DistillationTrainer, SetFitModel
    from sklearn.linear_model import LogisticRegression

    pipe: Any = teacher.get_pipe("embtune")
    labels = sorted(pipe.labels)
    numbers = [labels.index(max(row["cats"], key=row["cats"].get)) for row in labelled]
    head = LogisticRegression(max_iter=1000).fit(tuned(teacher, texts[0]), numbers)
    of_teacher = SetFitModel(model_body=pipe.encoder.encoder.model, model_head=head)
    body: Any = TextEncoder.load(EncoderSettings(DEFAULT_ENCODER, precision="float32")).model
    del find_layers(body)[3:]
    body[0].auto_model.config.num_hidden_layers = 3
    body.requires_grad_(True)
    student = SetFitModel(model_body=body, model_head=LogisticRegression(max_iter=1000))
    begin = time.perf_counter()
    DistillationTrainer(
        teacher_model=of_teacher,
        student_model=student,
        args=arguments,
        train_dataset=Dataset.from_dict({"text": pile}),
    ).train()
    print(f"SetFit: {time.perf_counter() - begin:.0f} s", flush=True)
    return [body.encode(part, show_progress_bar=False) for part in texts]


def measure_speed(folder: Path, students: list[str], texts: list[str]) -> None:
    """Print texts a second of the teacher in float32 and of the students: encoding alone, and from
    file to file by `embed_corpus`."""
    some = folder / "texts.jsonl"
    encoders: dict[str, Callable[[list[str]], Any]] = {}
    pipelines = {"teacher": folder / "teacher" / "model-last"}
    pipelines |= {student: folder / student.replace(":", "") for student in students}
    for kind, path in pipelines.items():
        encoder = TextEncoder.from_directory(
            path / "embtune" / "encoder", EncoderSettings(precision="float32")
        )
        encoders[kind] = encoder.encode
        if encoder.is_table:
            table = encoder._table
            encoders["its tokenizer alone"] = table.tokenizer.encode_batch_fast  # type: ignore[union-attr]
    n = {kind: 300 if kind in ("teacher",) or ":" in kind else len(texts) for kind in encoders}
    speeds: dict[str, list[float]] = {kind: [] for kind in encoders}
    for _ in range(3):
        for kind, encode in encoders.items():
            begin = time.perf_counter()
            encode(texts[: n[kind]])
            speeds[kind].append(n[kind] / (time.perf_counter() - begin))
    print("\n| encoding alone | texts a second | ratio |\n|---|---|---|")
    _print_ratios(speeds)
    files: dict[str, list[float]] = {kind: [] for kind in pipelines}
    for turn in range(2):
        for kind, path in pipelines.items():
            chosen = texts[: n[kind]]
            some.write_text("".join(json.dumps({"text": text}) + "\n" for text in chosen), "utf8")
            nlp = spacy.load(path)
            nlp.get_pipe("embtune").encoder.encoder.encode(["warm"])  # type: ignore[attr-defined]
            begin = time.perf_counter()
            out = folder / f"{turn}-{kind.replace(':', '')}.npz"
            embed_corpus(nlp, read_records(some), out)
            files[kind].append(len(chosen) / (time.perf_counter() - begin))
    print("\n| file to file | texts a second | ratio |\n|---|---|---|")
    _print_ratios(files)


def _print_ratios(speeds: dict[str, list[float]]) -> None:
    for kind, found in speeds.items():
        ratios = [a / b for a, b in zip(found, speeds["teacher"], strict=True)]
        print(f"| {kind} | {statistics.median(found):.0f} | {spread(ratios, '.1f')} |", flush=True)


if __name__ == "__main__":
    typer.run(main)
