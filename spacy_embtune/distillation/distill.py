"""Make a fast pipeline that gives the tuned vectors of a slow one."""

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from numpy.typing import NDArray
from spacy.language import Language

from .._files import atomic_directory, explain_full_disk, write_json
from ..encoder import EncoderSettings, TextEncoder, VectorStore
from ..pipeline import EmbTune, find_component
from ._corpus import FIT, Corpus, collect
from ._fidelity import Fidelity, measure_fidelity
from ._layers import LayersStudent, fit_layers
from ._pipeline import fit_output_layer, make_pipeline
from ._static import StaticStudent, fit_static, to_int8
from .verdict import Verdict, judge_student

# With fewer texts a student cannot be fitted and measured; from MANY_TEXTS on, more help little.
FEWEST_TEXTS = 50
MANY_TEXTS = 2000
DEFAULT_FIDELITY = 0.95
Dtype = Literal["float32", "float16", "int8"]
DEFAULT_SECONDS = 120.0
# Vectors of the teacher that are kept for the next run, if this one is interrupted.
_MOST_BYTES = 64 * 2**30


class Distillation(NamedTuple):
    """A student pipeline, and how good it is.

    nlp (Language): The pipeline.
    student (str): "static" or "layers:K".
    n_texts (int): Number of distinct texts with content.
    fidelity (dict[str, Fidelity]): How well each component agrees with its teacher, by its name.
    verdicts (dict[str, Verdict]): What that means, by the name of the component.
    made (dict): How the student of each component was made, by its name.
    dtype (str): Type of the numbers of a table.
    seconds (float): Seconds without the encoding by the teacher.
    teacher_seconds (float): Seconds of the encoding by the teacher.
    """

    nlp: Language
    student: str
    n_texts: int
    fidelity: dict[str, Fidelity]
    verdicts: dict[str, Verdict]
    made: dict[str, StaticStudent | LayersStudent]
    dtype: Dtype
    seconds: float
    teacher_seconds: float

    @property
    def is_good(self) -> bool:
        """RETURNS (bool): Whether each student is as faithful as was asked for."""
        return all(verdict.is_good for verdict in self.verdicts.values())


def distill(
    nlp: Language,
    texts: Iterable[str],
    *,
    student: str = "static",
    fidelity: float = DEFAULT_FIDELITY,
    seconds: float = DEFAULT_SECONDS,
    dtype: Dtype = "float32",
    work_dir: str | Path | None = None,
    progress: bool = False,
) -> Distillation:
    """Make a pipeline in which fast students replace the encoders and heads of all embtune
    components. It has the same attributes, labels and other components. `doc._.embedding` and
    `doc._.embtune` are both the student's vector, at unit length.

    A static student is a table of token vectors (`StaticEmbedding`): the tuned vector of a text is
    the mean of the vectors of its tokens, words and pairs of words. It knows nothing of the order
    of words beyond pairs. A student of K layers is the beginning of the encoder, trained toward the
    tuned vectors. Both are directories that `SentenceTransformer` opens.

    >>> parse_student("static"), parse_student("layers:3")
    (0, 3)

    nlp (Language): The teacher, with trained components. It is not changed.
    texts (Iterable[str]): Texts of the kind that the student will see; they need no labels. They
        are read once, and memory does not grow with their number. One in ten is held out to measure
        the student.
    student (str): "static" or "layers:K".
    fidelity (float): The agreement with the teacher, 0..1, from which the student counts as good.
    seconds (float): Bound for the training of layers, and for what is tried with a table.
    dtype (str): Type of the numbers of a table: "float32"; "float16", half the bytes; "int8",
        rounded to 8 bits, which model2vec holds as such, and sentence-transformers as float16. What
        it costs is in `made`.
    work_dir (str | Path | None): A directory for texts and vectors while the function runs; it
        takes about 2 kB for each text. After an interruption, the same call goes on with the
        vectors that it holds. None: a temporary directory.
    progress (bool): Whether to show progress bars.
    RETURNS (Distillation): The student and its fidelity.
    RAISES (ValueError): If a setting is out of range, a component cannot be distilled, or there are
        too few texts.
    """
    n_layers = parse_student(student)
    if not 0.0 < fidelity <= 1.0:
        raise ValueError(f"fidelity is {fidelity!r}: give a share above 0, 1 at most.")
    if dtype not in get_args(Dtype):
        raise ValueError(f"dtype is {dtype!r}: give one of {', '.join(get_args(Dtype))}.")
    if not seconds > 0:
        raise ValueError(f"seconds is {seconds!r}: give a number above 0.")
    teachers = find_teachers(nlp)
    begin = time.monotonic()
    with _work_directory(work_dir) as folder:
        with _stored(teachers, folder if work_dir is not None else None):
            (folder / "texts").mkdir()
            with explain_full_disk(folder):
                corpora = collect(teachers, texts, folder / "texts", progress=progress)
        teacher_seconds = time.monotonic() - begin
        _check_number(corpora[0])
        n_texts = corpora[0].n
        made: dict[str, StaticStudent | LayersStudent] = {}
        encoders = {}
        for pipe, corpus in zip(teachers, corpora, strict=True):
            assert pipe.encoder is not None
            found = made[pipe.name] = (
                fit_layers(pipe, corpus, n_layers, seconds=seconds, progress=progress)
                if n_layers
                else fit_static(
                    pipe,
                    corpus,
                    dtype=dtype,
                    deadline=time.monotonic() + seconds,
                    progress=progress,
                )
            )
            encoders[pipe.name] = (
                found.encoder
                if isinstance(found, LayersStudent)
                else TextEncoder(found.table, EncoderSettings(name=pipe.encoder.settings.name))
            )
        result = make_pipeline(nlp, encoders)
        measured, verdicts = {}, {}
        for pipe, corpus in zip(teachers, corpora, strict=True):
            own = find_component(result, pipe.name)
            assert own.encoder is not None
            fit_output_layer(pipe, corpus, own)
            measured[pipe.name] = measure_fidelity(pipe, corpus, own, own.encoder.encoder)
            verdicts[pipe.name] = judge_student(measured[pipe.name], wanted=fidelity, n=n_layers)
        result.meta["embtune_distilled"] = {
            "student": student,
            "n_texts": n_texts,
            "fidelity": {name: one._asdict() for name, one in measured.items()},
        }
    total = time.monotonic() - begin
    return Distillation(
        result,
        student,
        n_texts,
        measured,
        verdicts,
        made,
        dtype,
        total - teacher_seconds,
        teacher_seconds,
    )


def parse_student(student: str) -> int:
    """RETURNS (int): The number of layers of a student; 0 for a static one.
    RAISES (ValueError): If it is neither "static" nor "layers:K"."""
    if student == "static":
        return 0
    kind, _, number = student.partition(":")
    if kind == "layers" and number.isdecimal() and int(number) > 0:
        return int(number)
    raise ValueError(
        f'student is {student!r}: give "static" or "layers:K", as in "layers:3" for a student of '
        "three layers."
    )


def find_teachers(nlp: Language) -> list[EmbTune]:
    """Find the components that can be distilled.

    nlp (Language): The pipeline.
    RETURNS (list[EmbTune]): All its embtune components.
    RAISES (ValueError): If there is none, or one cannot be distilled.
    """
    pipes = [pipe for _, pipe in nlp.pipeline if isinstance(pipe, EmbTune)]
    if not pipes:
        find_component(nlp)
    for pipe in pipes:
        if not pipe.is_trained:
            raise ValueError(
                f"The component {pipe.name!r} is not trained, so there is nothing to distill. "
                "Train it first (`spacy train`)."
            )
        if pipe.encoder is None:
            raise ValueError(
                f"The component {pipe.name!r} pools vectors of the pipeline (DocVectors), which is "
                "as fast as a student would be. Distill a pipeline with SentenceTransformer.v1."
            )
        if _is_static(pipe.encoder.encoder):
            raise ValueError(
                f"The encoder of the component {pipe.name!r} is a table of token vectors already. "
                "Distill the pipeline that it was made from."
            )
    return pipes


def _is_static(encoder: TextEncoder) -> bool:
    return encoder.is_table or type(encoder.model[0]).__name__ == "StaticEmbedding"


def _check_number(corpus: Corpus) -> None:
    if corpus.n < FEWEST_TEXTS or not corpus.count(FIT):
        raise ValueError(
            f"There are {corpus.n} distinct texts, and a student needs {FEWEST_TEXTS} "
            f"at the very least. They need no labels: give some thousands of the kind that it will "
            f"see (from {MANY_TEXTS:,} on, more help little)."
        )


@contextlib.contextmanager
def _work_directory(path: str | Path | None) -> Iterator[Path]:
    if path is None:
        with tempfile.TemporaryDirectory(prefix="embtune-") as folder:
            yield Path(folder)
        return
    folder_kept = Path(path)
    folder_kept.mkdir(parents=True, exist_ok=True)
    # Vectors stay, texts are read anew.
    shutil.rmtree(folder_kept / "texts", ignore_errors=True)
    try:
        yield folder_kept
    finally:
        shutil.rmtree(folder_kept / "texts", ignore_errors=True)


@contextlib.contextmanager
def _stored(pipes: Sequence[EmbTune], folder: Path | None) -> Iterator[None]:
    """Keep the vectors of encoders in a directory, if they have no store of their own."""
    shims = [pipe.encoder for pipe in pipes if pipe.encoder is not None]
    mine = [shim for shim in shims if shim.store is None] if folder is not None else []
    for shim in mine:
        assert folder is not None
        shim.store = VectorStore(folder / "vectors", _MOST_BYTES)
    try:
        yield
    finally:
        for shim in mine:
            assert shim.store is not None
            shim.store.close()
            shim.store = None


def save_student(found: Distillation, out: str | Path) -> None:
    """Write the pipeline of a student to a directory, as a whole or not at all.

    found (Distillation): The student.
    out (str | Path): The directory. An older one is replaced.
    """
    with atomic_directory(Path(out)) as unfinished:
        found.nlp.to_disk(unfinished)


def export_student(found: Distillation, out: str | Path, *, name: str | None = None) -> None:
    """Write the encoder of a student as a directory that `SentenceTransformer` opens.

    found (Distillation): The student.
    out (str | Path): The directory. An older one is replaced.
    name (str | None): The component; None: there must be exactly one.
    """
    pipe = find_component(found.nlp, name)
    assert pipe.encoder is not None
    with atomic_directory(Path(out)) as unfinished:
        pipe.encoder.to_directory(unfinished)


def export_model2vec(found: Distillation, out: str | Path, *, name: str | None = None) -> None:
    """Write a static student as a directory that `StaticModel.from_pretrained` of model2vec opens.

    found (Distillation): The student.
    out (str | Path): The directory. An older one is replaced.
    name (str | None): The component; None: there must be exactly one.
    RAISES (ValueError): If the student is not static.
    """
    made = found.made[find_component(found.nlp, name).name]
    if not isinstance(made, StaticStudent):
        raise ValueError(f"model2vec holds static students, and this one is {found.student}.")
    from safetensors.numpy import save

    table = made.table
    vectors: NDArray[Any] = table.vectors
    if found.dtype == "int8":
        # Vectors of texts are brought to unit length, so the step does not matter.
        vectors = to_int8(vectors)
    elif found.dtype == "float16":
        vectors = vectors.astype("float16")
    with atomic_directory(Path(out)) as unfinished:
        unfinished.mkdir(parents=True)
        (unfinished / "model.safetensors").write_bytes(save({"embeddings": vectors}))
        (unfinished / "tokenizer.json").write_text(table.tokenizer.to_str(), "utf8")
        write_json(
            unfinished / "config.json",
            {"model_type": "model2vec", "normalize": True, "hidden_dim": table.width},
        )
