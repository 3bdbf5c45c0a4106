"""Students as pipelines: what is equal to the teacher, how faithful they are, how they are kept."""

import random

import numpy as np
import pytest
import spacy
import torch
from model2vec import StaticModel
from sentence_transformers import SentenceTransformer
from spacy.training import Example
from thinc.api import fix_random_seed

from spacy_embtune import SentenceEncoder, report
from spacy_embtune.data import Record
from spacy_embtune.distillation import (
    compare_student,
    distill,
    export_model2vec,
    export_student,
    save_student,
)
from spacy_embtune.encoder import VectorStore

from ..conftest import make_examples, make_texts
from ..test_files import files_limited_to
from .conftest import make_teacher

NEW = [text for text, _ in make_texts(60, seed=11)]


@pytest.fixture(params=["static", "layers"])
def student(request):
    return request.getfixturevalue(request.param)


def cosines(a, b):
    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def test_a_student_is_near_its_teacher_on_new_texts(teacher, student):
    theirs = np.stack([doc._.embtune for doc in teacher.pipe(NEW)])
    docs = list(student.nlp.pipe(NEW))
    own = np.stack([doc._.embtune for doc in docs])
    fidelity = student.fidelity["embtune"]
    found = float(cosines(own, theirs).mean())
    assert found > 0.9
    # What was measured on texts that were held out is what new texts show.
    assert abs(found - fidelity.cosine) < 0.05
    # Not the vector of another text.
    assert found > float(cosines(own, np.roll(theirs, 1, axis=0)).mean()) + 0.1


def test_labels_and_their_probabilities_are_nearly_those_of_the_teacher(teacher, student):
    theirs, own = list(teacher.pipe(NEW)), list(student.nlp.pipe(NEW))
    same = [
        max(a.cats, key=a.cats.get) == max(b.cats, key=b.cats.get)
        for a, b in zip(theirs, own, strict=False)
    ]
    assert np.mean(same) > 0.9
    assert student.fidelity["embtune"].agreement > 0.9
    assert own[0].cats.keys() == theirs[0].cats.keys()
    assert sum(own[0].cats.values()) == pytest.approx(1.0)


def test_a_student_has_all_that_its_teacher_had(teacher, student):
    theirs, own = teacher.get_pipe("embtune"), student.nlp.get_pipe("embtune")
    assert student.nlp.pipe_names == teacher.pipe_names
    assert own.labels == theirs.labels
    for key in ("extension", "base_extension", "set_cats", "threshold", "temperature"):
        assert getattr(own, key) == getattr(theirs, key)
    assert own.cfg == theirs.cfg
    assert own.seen.recognize([text for text, _ in make_texts(60)]).all()
    assert len(list(student.nlp("One sentence. Another one.").sents)) == 2


@pytest.mark.slow
def test_the_teacher_is_not_changed(tiny_encoder, texts):
    nlp = make_teacher(tiny_encoder)
    before = nlp.to_bytes()
    distill(nlp, texts[:100], student="layers:1", seconds=0.5)
    assert nlp.to_bytes() == before
    assert nlp.get_pipe("embtune").encoder.store is None


@pytest.mark.slow
def test_a_saved_student_is_the_same_and_sentence_transformers_opens_it(student, tmp_path):
    expected = np.stack([doc._.embtune for doc in student.nlp.pipe(NEW)])
    save_student(student, tmp_path / "out")
    nlp = spacy.load(tmp_path / "out")
    np.testing.assert_array_equal([doc._.embtune for doc in nlp.pipe(NEW)], expected)
    export_student(student, tmp_path / "exported")
    for path in (tmp_path / "out" / "embtune" / "encoder", tmp_path / "exported"):
        rows = SentenceTransformer(str(path), device="cpu").encode(NEW)
        # Layers may compute in bfloat16.
        assert cosines(rows, expected).min() > (0.999 if student.student != "static" else 0.999999)
    assert nlp.meta["embtune_distilled"]["n_texts"] == student.n_texts > 300


def test_estimators_take_the_directory_of_a_student(student, tmp_path):
    save_student(student, tmp_path / "out")
    expected = np.stack([doc._.embtune for doc in student.nlp.pipe(NEW)])
    found = SentenceEncoder(str(tmp_path / "out")).fit_transform(NEW)
    assert cosines(found, expected).min() > 0.999


def test_model2vec_opens_a_static_student(static, layers, tmp_path):
    expected = np.stack([doc._.embtune for doc in static.nlp.pipe(NEW)])
    export_model2vec(static, tmp_path / "m")
    rows = StaticModel.from_pretrained(tmp_path / "m").encode(NEW)
    np.testing.assert_allclose(rows, expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="this one is layers:1"):
        export_model2vec(layers, tmp_path / "n")


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "share"), [("float16", 0.5), ("int8", 0.25)])
def test_fewer_bytes_give_nearly_the_same(teacher, texts, static, tmp_path, dtype, share):
    small = distill(teacher, texts, dtype=dtype)
    expected = np.stack([doc._.embtune for doc in static.nlp.pipe(NEW)])
    rows = np.stack([doc._.embtune for doc in small.nlp.pipe(NEW)])
    lowest = cosines(rows, expected).min()
    assert lowest > (0.9999 if dtype == "float16" else 0.99)
    assert small.made["embtune"].dtype_cosine == pytest.approx(lowest, abs=0.01)
    assert static.made["embtune"].dtype_cosine == pytest.approx(1.0)
    save_student(small, tmp_path / "out")
    saved = np.stack([doc._.embtune for doc in spacy.load(tmp_path / "out").pipe(NEW)])
    np.testing.assert_array_equal(saved, rows)
    for name, one in (("small", small), ("whole", static)):
        export_model2vec(one, tmp_path / name)
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("small", "whole")]
    assert sizes[0] / sizes[1] == pytest.approx(share, abs=0.02)
    found = StaticModel.from_pretrained(tmp_path / "small").encode(NEW)
    assert cosines(found, rows).min() > 0.9999


@pytest.mark.slow
def test_several_components_become_students_of_their_own(
    tiny_encoder, other_encoder, texts, tmp_path
):
    nlp = make_teacher(tiny_encoder)
    other = make_teacher(other_encoder, extension="topic", base_extension="topic_base")
    nlp.add_pipe("embtune", name="topic", source=other)
    found = distill(nlp, texts)
    assert list(found.fidelity) == ["embtune", "topic"]
    doc, expected = found.nlp(NEW[0]), nlp(NEW[0])
    save_student(found, tmp_path / "out")
    with pytest.raises(ValueError, match="holds several encoders: give one of"):
        SentenceEncoder(str(tmp_path / "out")).fit_transform(NEW)
    for name in ("embtune", "topic"):
        assert cosines(doc._.get(name)[None], expected._.get(name)[None])[0] > 0.8
    # Two encoders, so each student has one.
    pipes = [found.nlp.get_pipe(name) for name in found.fidelity]
    assert pipes[0].encoder.fingerprint != pipes[1].encoder.fingerprint


def test_the_comparison_has_three_columns_and_says_what_is_lost(teacher, static):
    records = [
        Record(text, {label: 1.0}, str(i), {}, i)
        for i, (text, label) in enumerate(make_texts(80, seed=3))
    ]
    found = compare_student(teacher, static.nlp, records)
    rows = {metric: values for metric, *values in found.rows}
    base, tuned, own = rows["MAP@R"]
    assert base < tuned
    measured = {row.key: row.tuned for row in report(static.nlp, records).primary}
    assert own == measured["map_at_r"]
    assert f"keeps {own / tuned:.0%} of the MAP@R" in found.words
    assert found.is_good == (own >= base and own >= 0.8 * tuned)
    assert "student" in found.to_text().splitlines()[0]
    assert max(map(len, found.to_text().splitlines()[:-1])) <= 80


@pytest.mark.slow
@pytest.mark.slow
def test_the_student_of_a_teacher_of_sentences_gives_their_vectors(tiny_encoder, texts, tmp_path):
    teacher = make_teacher(tiny_encoder, spans="sents", set_cats=True)
    student = distill(teacher, texts)
    student.nlp.to_disk(tmp_path / "student")
    nlp = spacy.load(tmp_path / "student")
    two = "ball goal team match. bread soup salt oven."
    for pipeline in (student.nlp, nlp):
        first, second = pipeline(two).sents
        sport, food = pipeline("ball goal team match."), pipeline("bread soup salt oven.")
        assert np.allclose(first._.embtune, sport._.embtune, atol=1e-4)
        assert np.allclose(second._.embtune, food._.embtune, atol=1e-4)
        # Each is nearer to that of the teacher than to the other (its word "." is unknown).
        of_teacher = np.stack([span._.embtune for span in teacher(two).sents])
        of_student = np.stack([span._.embtune for span in pipeline(two).sents])
        unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (of_teacher, of_student)]
        assert (unit[0] @ unit[1].T).argmax(axis=1).tolist() == [0, 1]


def test_a_student_that_agrees_too_little_is_not_good(teacher, texts):
    # Of texts without a known word it learns nothing about other texts.
    found = distill(teacher, [f"{i} {i % 3}" for i in range(80)], fidelity=0.99)
    own = np.stack([doc._.embtune for doc in found.nlp.pipe(NEW)])
    theirs = np.stack([doc._.embtune for doc in teacher.pipe(NEW)])
    assert cosines(own, theirs).mean() < 0.9
    strict = distill(teacher, texts[:100], fidelity=1.0)
    assert strict.is_good == (strict.fidelity["embtune"].agreement == 1.0)
    assert strict.verdicts["embtune"].is_good == strict.is_good


def test_training_layers_is_kept_only_if_it_helps(layers):
    made = layers.made["embtune"]
    assert made.end >= made.start
    assert made.n_layers == 1
    assert (made.n_steps > 0) == (made.end > made.start)


def test_copies_of_a_text_count_once(teacher, texts, static, tmp_path):
    copies = (copy for text in texts for copy in (text, "", text, " "))
    found = distill(teacher, [*copies, *texts], work_dir=tmp_path / "w")
    assert found.n_texts == static.n_texts == len(set(texts))
    assert found.fidelity == static.fidelity
    # No text is left on the disk.
    assert not (tmp_path / "w" / "texts").exists()


class Stop(Exception):
    pass


@pytest.mark.slow
def test_an_interrupted_run_goes_on_with_the_vectors_of_the_teacher(teacher, texts, tmp_path):
    many = [f"{text} {i}" for i, text in enumerate(texts * 6)]

    def interrupted():
        yield from many[:2200]
        raise Stop

    with pytest.raises(Stop):
        distill(teacher, interrupted(), work_dir=tmp_path / "w")
    assert [path.name for path in (tmp_path / "w").iterdir()] == ["vectors"]
    store = VectorStore(tmp_path / "w" / "vectors")
    # The block of 2,048 texts that was read to its end.
    assert len(store) == 2048
    store.close()
    encoder = teacher.get_pipe("embtune").encoder
    encoder.cache.clear()
    before = encoder.n_encoded
    distill(teacher, many, work_dir=tmp_path / "w", seconds=0.01)
    assert encoder.n_encoded == before + len(many) - 2048


@pytest.mark.slow
def test_a_full_disk_leaves_no_pipeline_and_keeps_the_earlier_one(static, layers, tmp_path):
    save_student(layers, tmp_path / "out")
    before = spacy.load(tmp_path / "out")(NEW[0])._.embtune
    with files_limited_to(20_000), pytest.raises(OSError, match="out"):
        save_student(static, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    np.testing.assert_array_equal(spacy.load(tmp_path / "out")(NEW[0])._.embtune, before)


@pytest.mark.slow
def test_a_textcat_that_reads_the_vectors_reads_those_of_the_student(tiny_encoder, texts):
    nlp = make_teacher(tiny_encoder)
    layer = {"@architectures": "spacy-embtune.DocEmbedding.v1", "component": "embtune"}
    model = {"@architectures": "spacy.TextCatReduce.v1", "tok2vec": layer}
    model |= {"exclusive_classes": True, "use_reduce_first": False, "use_reduce_last": False}
    model |= {"use_reduce_max": False, "use_reduce_mean": True}
    textcat = nlp.add_pipe("textcat", config={"model": model})
    examples = make_examples(nlp, 60)
    textcat.initialize(lambda: examples, nlp=nlp)
    with nlp.select_pipes(enable=["embtune", "textcat"]):
        optimizer = nlp.resume_training()
        for _ in range(30):
            docs = list(nlp.get_pipe("embtune").pipe([example.predicted for example in examples]))
            textcat.update(
                [Example(doc, one.reference) for doc, one in zip(docs, examples, strict=True)],
                sgd=optimizer,
            )
    found = distill(nlp, texts)
    assert found.nlp.pipe_names == nlp.pipe_names
    best = [[max(doc.cats, key=doc.cats.get) for doc in one.pipe(NEW)] for one in (nlp, found.nlp)]
    assert np.mean([a == b for a, b in zip(*best, strict=True)]) > 0.8


# What cannot be distilled


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"student": "dynamic"}, 'give "static" or "layers:K"'),
        ({"student": "layers:0"}, 'give "static" or "layers:K"'),
        ({"student": "layers:"}, 'give "static" or "layers:K"'),
        ({"student": "layers:2"}, "has 2 layers. Give 1 to 1"),
        ({"student": "layers:7"}, "has 2 layers. Give 1 to 1"),
        ({"fidelity": 0.0}, "fidelity is 0.0"),
        ({"fidelity": 1.5}, "fidelity is 1.5"),
        ({"seconds": 0}, "seconds is 0"),
        ({"dtype": "float8"}, "dtype is 'float8'"),
    ],
)
def test_settings_without_sense_are_errors(teacher, texts, settings, reason):
    with pytest.raises(ValueError, match=reason):
        distill(teacher, texts[:60], **settings)


@pytest.mark.parametrize("given", [[], ["bread"], ["", "  "] * 50, ["bread", "soup"] * 90])
def test_too_few_texts_are_an_error_that_says_how_many_help(teacher, given):
    with pytest.raises(ValueError, match="give some thousands of the kind"):
        distill(teacher, given)


@pytest.mark.slow
def test_what_has_no_teacher_is_an_error(teacher, static, texts, make_nlp):
    with pytest.raises(ValueError, match="has no embtune component"):
        distill(spacy.blank("en"), texts)
    with pytest.raises(ValueError, match="is not trained, so there is nothing to distill"):
        distill(make_nlp(), texts)
    with pytest.raises(ValueError, match="is a table of token vectors already"):
        distill(static.nlp, texts)
    nlp = spacy.blank("en")
    nlp.vocab.set_vector("bread", np.ones(4))
    encoder = {"@architectures": "spacy-embtune.DocVectors.v1"}
    pipe = nlp.add_pipe("embtune", config={"model": {"encoder": encoder}})
    pipe.cfg["is_trained"] = True
    with pytest.raises(ValueError, match="pools vectors of the pipeline"):
        distill(nlp, texts)


def test_texts_of_another_language_are_measured_as_they_are(teacher):
    strange = [f"слово {i} ещё {i % 7}" for i in range(80)]
    found = distill(teacher, strange)
    assert np.isfinite(found.fidelity["embtune"].cosine)


@pytest.mark.slow
def test_random_numbers_of_the_program_are_left_alone(teacher, texts):
    fix_random_seed(0)
    expected = torch.rand(1), random.random(), np.random.rand()  # noqa: NPY002
    fix_random_seed(0)
    one = distill(teacher, texts[:100])
    assert (torch.rand(1), random.random(), np.random.rand()) == expected  # noqa: NPY002
    two = distill(teacher, texts[:100])
    assert (one.nlp("bread")._.embtune == two.nlp("bread")._.embtune).all()
