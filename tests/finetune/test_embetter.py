"""The same scripts with embetter's classes and with ours: change the import, and they run."""

import inspect
import random
import re
import sys
import textwrap
import warnings
from types import SimpleNamespace

import numpy as np
import pandas
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import spacy_embtune.finetune as ours

from ..conftest import make_texts
from .made_up import make_vectors, nearest_accuracy

with warnings.catch_warnings():
    # It imports from places that sentence-transformers and torch have moved things from.
    warnings.simplefilter("ignore")
    import embetter.finetune
    import embetter.model
    import embetter.text
    import embetter.utils

THEIRS = SimpleNamespace(
    FeedForwardTuner=embetter.finetune.FeedForwardTuner,
    ContrastiveTuner=embetter.finetune.ContrastiveTuner,
    ContrastiveLearner=embetter.finetune.ContrastiveLearner,
    SbertLearner=embetter.finetune.SbertLearner,
    DifferenceClassifier=embetter.model.DifferenceClassifier,
    SentenceEncoder=embetter.text.SentenceEncoder,
    cached=embetter.utils.cached,
    calc_distances=embetter.utils.calc_distances,
    batched=embetter.utils.batched,
)
OURS = SimpleNamespace(**{name: getattr(ours, name) for name in ours.__all__})

# embetter makes numpy arrays of torch's in a way that numpy wants changed.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

X, y = make_vectors(150)
X_TEST, Y_TEST = make_vectors(600, seed=1)
BASE = nearest_accuracy(X, y, X_TEST, Y_TEST)


def run(script, *arguments, **settings):
    """RETURNS (tuple): What a script gives with embetter's classes, and what with ours."""
    import torch

    results = []
    for package in (THEIRS, OURS):
        # Neither has a random_state in embetter.
        torch.manual_seed(0)
        np.random.seed(0)  # noqa: NPY002
        results.append(script(package, *arguments, **settings))
    return results


def assert_alike(theirs, our):
    assert type(our) is type(theirs)
    assert our.shape == theirs.shape
    assert our.dtype == theirs.dtype


# signatures


@pytest.mark.parametrize(
    "name",
    [
        "FeedForwardTuner",
        "ContrastiveTuner",
        "ContrastiveLearner",
        "SbertLearner",
        "DifferenceClassifier",
        "SentenceEncoder",
    ],
)
def test_parameters_and_methods_have_the_same_names(name):
    theirs, our = getattr(THEIRS, name), getattr(OURS, name)
    expected = list(inspect.signature(theirs).parameters)
    found = inspect.signature(our).parameters
    # In the same places, so that they may be given without their names.
    assert list(found)[: len(expected)] == expected
    for parameter in expected:
        assert found[parameter].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    checked = 0
    for method, function in inspect.getmembers(theirs, inspect.isfunction):
        # What makes the pairs of a batch is embetter's own.
        if method.startswith("_") or method in ("generate_batch", "set_output"):
            continue
        if method.startswith("set_") and method.endswith("_request"):
            continue
        accepted = inspect.signature(getattr(our, method)).parameters
        if any(p.kind is p.VAR_KEYWORD for p in accepted.values()):
            continue
        for parameter in inspect.signature(function).parameters:
            assert parameter in accepted, (method, parameter)
            checked += 1
    assert checked > 3


def test_helpers_have_the_same_parameters():
    for name in ("calc_distances", "batched"):
        theirs, our = (inspect.signature(getattr(p, name)).parameters for p in (THEIRS, OURS))
        assert list(our) == list(theirs)


# tuners


def feed_forward(package, **settings):
    tuner = package.FeedForwardTuner(**settings)
    vectors = tuner.fit(X, y).transform(X)
    return vectors, nearest_accuracy(vectors, y, tuner.transform(X_TEST), Y_TEST)


@pytest.mark.slow
def test_feed_forward_tuner_with_defaults():
    (_, theirs), (_, our) = run(feed_forward)
    assert our >= theirs
    assert our > BASE + 0.05


@pytest.mark.slow
def test_feed_forward_tuner_with_embetters_settings():
    settings = {"hidden_dim": 50, "n_epochs": 100, "learning_rate": 0.01, "batch_size": 32}
    (vectors, theirs), (our_vectors, our) = run(feed_forward, **settings)
    assert_alike(vectors, our_vectors)
    assert our >= theirs - 0.02


def contrastive(package, **settings):
    tuner = package.ContrastiveTuner(**settings)
    vectors = tuner.fit(X, y).transform(X)
    return vectors, nearest_accuracy(vectors, y, tuner.transform(X_TEST), Y_TEST)


@pytest.mark.slow
def test_contrastive_tuner_with_defaults():
    (_, theirs), (_, our) = run(contrastive)
    assert our >= theirs
    assert our > BASE + 0.05


@pytest.mark.slow
def test_contrastive_tuner_with_embetters_settings():
    settings = {"hidden_dim": 50, "n_neg": 3, "epochs": 20, "learning_rate": 0.001}
    (vectors, theirs), (our_vectors, our) = run(contrastive, **settings)
    assert_alike(vectors, our_vectors)
    assert our >= theirs - 0.02


def stream(package, tuner):
    tuner = getattr(package, tuner)()
    for _ in range(20 if package is OURS else 1):
        for start in range(0, 150, 30):
            tuner.partial_fit(X[start : start + 30], y[start : start + 30], classes=[0, 1, 2])
    vectors = tuner.transform(X)
    return nearest_accuracy(vectors, y, tuner.transform(X_TEST), Y_TEST)


@pytest.mark.slow
@pytest.mark.parametrize("tuner", ["FeedForwardTuner", "ContrastiveTuner"])
def test_tuners_on_a_stream(tuner):
    """embetter passes n_epochs times over each batch, and its ContrastiveTuner starts afresh with
    each; ours goes once over each, so the stream is given several times."""
    theirs, our = run(stream, tuner)
    assert our >= theirs
    assert our > BASE + 0.05


def in_a_pipeline(package, tuner):
    pipeline = make_pipeline(getattr(package, tuner)(), LogisticRegression(max_iter=1000))
    return pipeline.fit(X, y).predict(X_TEST), pipeline.score(X_TEST, Y_TEST)


@pytest.mark.slow
@pytest.mark.parametrize("tuner", ["FeedForwardTuner", "ContrastiveTuner"])
def test_tuners_in_a_pipeline(tuner):
    (predicted, theirs), (our_predicted, our) = run(in_a_pipeline, tuner)
    assert_alike(predicted, our_predicted)
    assert our >= theirs - 0.01


def labels_by_name(package):
    labels, answers = (np.array(["c", "a", "b"])[classes] for classes in (y, Y_TEST))
    tuner = package.FeedForwardTuner(n_epochs=100)
    vectors = tuner.fit_transform(X, labels)
    return nearest_accuracy(vectors, labels, tuner.transform(X_TEST), answers)


@pytest.mark.slow
def test_labels_may_be_strings():
    theirs, our = run(labels_by_name)
    assert our >= theirs
    assert our > BASE + 0.05


# learners


def make_pairs(n, seed):
    rows, classes = make_vectors(2 * n, seed=seed)
    sides = np.random.RandomState(seed).permutation(2 * n).reshape(2, n)
    first, second = sides
    return rows[first], rows[second], (classes[first] == classes[second]).astype(float)


def learner(package, **settings):
    from sklearn.metrics import roc_auc_score
    from sklearn.metrics.pairwise import paired_cosine_distances

    made = package.ContrastiveLearner(**settings)
    made.fit(*make_pairs(400, 0))
    first, second, same = make_pairs(400, 1)
    vectors = made.transform(first), made.transform(second)
    return vectors[0], roc_auc_score(same, -paired_cosine_distances(*vectors)), made


@pytest.mark.slow
def test_contrastive_learner():
    (_, theirs, their_learner), (_, our, our_learner) = run(learner)
    assert our >= theirs
    settings = {"shape_out": 30, "batch_size": 16, "epochs": 10, "learning_rate": 1e-3}
    (vectors, theirs, _), (our_vectors, our, _) = run(learner, **settings)
    assert_alike(vectors, our_vectors)
    assert our >= theirs - 0.02
    # embetter's own call fails: it gives torch arrays of numpy.
    first, second, _ = make_pairs(10, 1)
    with pytest.raises(TypeError, match="must be Tensor"):
        their_learner.predict(first, second)
    assert our_learner.predict(first, second).shape == (10,)


def pairs_of_texts(seed):
    rows = make_texts(240, seed=seed)
    random.Random(seed).shuffle(rows)
    texts, topics = zip(*rows, strict=True)
    same = [float(a == b) for a, b in zip(topics[:120], topics[120:], strict=True)]
    return list(texts[:120]), list(texts[120:]), same


def finetune(package, path):
    from sentence_transformers import SentenceTransformer
    from sklearn.metrics import roc_auc_score
    from sklearn.metrics.pairwise import paired_cosine_distances

    sent_tfm = SentenceTransformer(str(path), device="cpu")
    # What embetter calls asks for packages that it does not name; this is the same without them.
    sent_tfm.fit = sent_tfm.old_fit
    # The fewest steps of warming up: it is not finetuned for long.
    made = package.SbertLearner(sent_tfm, batch_size=16, epochs=20, warmup_steps=2)
    made.fit(*pairs_of_texts(0))
    first, second, same = pairs_of_texts(1)
    vectors = made.transform(first), made.transform(second)
    return vectors[0], roc_auc_score(same, -paired_cosine_distances(*vectors)), made


@pytest.mark.slow
def test_sbert_learner(tiny_encoder, tmp_path):
    from sentence_transformers import SentenceTransformer

    (vectors, auc, theirs), (our_vectors, our_auc, our) = run(finetune, tiny_encoder)
    assert_alike(vectors, our_vectors)
    assert our_auc >= auc - 0.02
    assert our_auc > 0.6
    texts = pairs_of_texts(1)[0]
    # embetter's own call fails: it gives torch arrays of numpy.
    with pytest.raises(TypeError, match="must be Tensor"):
        theirs.predict(list(texts), list(texts))
    assert our.predict(list(texts), list(texts)) == pytest.approx(1.0, abs=1e-5)
    del theirs.sent_tfm.fit
    for made in (theirs, our):
        path = tmp_path / type(made).__module__
        made.to_disk(str(path))
        assert SentenceTransformer(str(path), device="cpu").encode(["a ball"]).shape == (1, 64)


def difference(package, path):
    texts, topics = zip(*make_texts(240), strict=True)
    sides = np.random.RandomState(0).permutation(240).reshape(2, 120)
    first, second = ([texts[i] for i in side] for side in sides)
    similar = [int(topics[i] == topics[j]) for i, j in sides.T]
    mod = package.DifferenceClassifier(enc=package.SentenceEncoder(str(path)))
    mod.fit(X1=first, X2=second, y=similar)
    predicted = mod.predict(X1=first, X2=second)
    return predicted, mod.predict_proba(X1=first, X2=second), (predicted == similar).mean()


@pytest.mark.slow
def test_difference_classifier(tiny_encoder):
    theirs, our = run(difference, tiny_encoder)
    for one, other in zip(theirs[:2], our[:2], strict=True):
        assert_alike(one, other)
    # The encoder computes in bfloat16 where the processor does.
    assert our[2] == pytest.approx(theirs[2], abs=0.05)


# texts


def encode(package, path):
    texts = [text for text, _ in make_texts(20)]
    encoder = package.SentenceEncoder(name=str(path), device=None, quantize=False, num_threads=None)
    forms = (list(texts), np.array(texts), pandas.Series(texts, index=range(5, 25)))
    vectors = [encoder.fit(form).transform(form) for form in forms]
    vectors.append(encoder.partial_fit(texts).fit_transform(texts, [0] * 20))
    return vectors


def test_sentence_encoder(tiny_encoder):
    for one, other in zip(*run(encode, tiny_encoder), strict=True):
        assert_alike(one, other)
        cosines = (one * other).sum(axis=1)
        cosines /= np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
        assert (cosines > 0.999).all()


def cache_twice(package, path, folder):
    encoder = package.cached(
        str(folder / package.SentenceEncoder.__module__), package.SentenceEncoder(str(path))
    )
    texts = [text for text, _ in make_texts(20)]
    return encoder.transform(texts), encoder.transform(texts)


def test_cached_with_embetters_names(tiny_encoder, tmp_path):
    encoder = OURS.SentenceEncoder(str(tiny_encoder))
    made = OURS.cached(name=str(tmp_path / "vectors"), pipeline=encoder)
    assert made.partial_fit(["bread"], [1]) is made
    assert_alike(encoder.transform(["bread"]), made.transform(["bread"], [1]))
    assert (tmp_path / "vectors").is_dir()


def test_cached(tiny_encoder, tmp_path):
    (first, _), our = run(cache_twice, tiny_encoder, tmp_path)
    assert_alike(first, our[0])
    assert (our[0] == our[1]).all()


def distances(package):
    from sklearn.preprocessing import FunctionTransformer

    as_it_is = FunctionTransformer()
    given = {"metric": "euclidean", "aggregate": np.mean}
    return (
        package.calc_distances(X[:20], X[:3], as_it_is, **given),
        package.calc_distances(X[:20], X[:3], as_it_is),
    )


def test_calc_distances():
    theirs, our = run(distances)
    np.testing.assert_allclose(our[0], theirs[0])
    np.testing.assert_allclose(our[1], theirs[1])


# embetter's own examples


def examples_of(*objects):
    for thing in objects:
        for i, block in enumerate(re.findall(r"```python\n(.*?)```", thing.__doc__, re.DOTALL)):
            yield pytest.param(textwrap.dedent(block), id=f"{thing.__name__}-{i}")


@pytest.mark.parametrize(
    "code",
    list(
        examples_of(
            embetter.text.SentenceEncoder,
            embetter.finetune.ContrastiveLearner,
            embetter.finetune.SbertLearner,
            embetter.model.DifferenceClassifier,
        )
    ),
)
def test_examples_of_its_documentation_run_with_the_import_changed(code, tiny_encoder):
    from sentence_transformers import SentenceTransformer

    for module in ("embetter.finetune", "embetter.model", "embetter.text"):
        code = code.replace(f"from {module} import", "from spacy_embtune.finetune import")
    code = code.replace("all-MiniLM-L6-v2", str(tiny_encoder))
    code = code.replace("SentenceEncoder()", f"SentenceEncoder({str(tiny_encoder)!r})")
    examples = [
        {"text": text, "cats": {label: label == topic for label in ("FOOD", "SPORT", "MUSIC")}}
        for text, topic in make_texts(12)
    ]
    # One of them uses a class that it does not import.
    scope = {"examples": examples, "SbertLearner": OURS.SbertLearner}
    scope["SentenceTransformer"] = SentenceTransformer
    exec(code, scope)
    if "learner" in scope:
        assert scope["learner"].transform(scope["X1"]).shape == (len(scope["X1"]), 64)
    elif "mod" in scope:
        assert len(scope["mod"].predict(scope["texts1"], scope["texts2"])) == 3
    else:
        assert scope["X"].shape == (2, 64)
        assert "embetter.grab" in sys.modules
