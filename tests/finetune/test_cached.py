"""Any encoder with its vectors on disk."""

import copy
import logging
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils.validation import check_is_fitted

from spacy_embtune.encoder import SentenceTransformer, get_shim
from spacy_embtune.encoder.store import StoreError, VectorStore
from spacy_embtune.finetune import SentenceEncoder
from spacy_embtune.finetune.cached import CachedEncoder, cached

from ..conftest import make_texts

TEXTS = ["bread and soup", "guitar", "", "bread and soup", "piano ♫"]


class Lengths:
    """No estimator, and nothing that tells it from another."""

    def __init__(self, dtype: str = "float64", plus: float = 0.0) -> None:
        self.dtype, self.plus = dtype, plus
        self.seen: list[str] = []

    def transform(self, texts: list[str]) -> Any:
        self.seen += texts
        rows = [[len(text) + self.plus, 1.0] for text in texts]
        return np.asarray(rows, dtype=self.dtype).reshape(-1, 2)


class Scaled(TransformerMixin, BaseEstimator):
    """An estimator that its parameters tell from others."""

    def __init__(self, scale: float = 1.0, unit: Any = None) -> None:
        self.scale = scale
        self.unit = unit

    def fit(self, X: Any, y: Any = None) -> "Scaled":
        self.longest_ = max(map(len, X))
        return self

    def transform(self, X: Any) -> Any:
        return np.asarray([[len(text) * self.scale] for text in X])

    def get_feature_names_out(self, input_features: Any = None) -> Any:
        return np.asarray(["length"], dtype=object)


def new(tiny_encoder: Path, **settings: Any) -> SentenceEncoder:
    return SentenceEncoder(str(tiny_encoder), **{"precision": "float32", **settings})


# What it gives


def test_vectors_are_the_encoders_and_made_once(tiny_encoder: Path, tmp_path: Path) -> None:
    expected = new(tiny_encoder).transform(TEXTS)
    for n_encoded in (4, 0):
        encoder = cached(new(tiny_encoder), tmp_path / "store")
        rows = encoder.transform(TEXTS)
        assert rows.dtype == np.float32
        assert_allclose(rows, expected, atol=1e-5)
        assert (encoder.n_requested, encoder.n_encoded) == (5, n_encoded)
    assert_allclose(encoder.transform(["new", *TEXTS])[1:], expected, atol=1e-5)
    assert (encoder.n_requested, encoder.n_encoded) == (11, 1)


@pytest.mark.slow
def test_other_weights_or_precision_other_vectors(
    tiny_encoder: Path, other_encoder: Path, tmp_path: Path
) -> None:
    encoders = [
        new(tiny_encoder),
        new(other_encoder),
        new(tiny_encoder, precision="bfloat16"),
    ]
    for _ in range(2):
        for encoder in encoders:
            rows = cached(encoder, tmp_path / "store").transform(TEXTS)
            assert_allclose(rows, encoder.transform(TEXTS), atol=1e-5)
    assert len(VectorStore(tmp_path / "store")) == len(encoders) * len(set(TEXTS))


def test_the_same_weights_elsewhere_are_the_same_encoder(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    import shutil

    shutil.copytree(tiny_encoder, tmp_path / "moved")
    cached(new(tiny_encoder), tmp_path / "store").transform(TEXTS)
    moved = cached(new(tmp_path / "moved"), tmp_path / "store")
    moved.transform(TEXTS)
    assert moved.n_encoded == 0


def test_the_component_shares_the_vectors(tiny_encoder: Path, tmp_path: Path) -> None:
    rows = cached(new(tiny_encoder), tmp_path / "store").transform(TEXTS)
    layer = SentenceTransformer(
        name=str(tiny_encoder), precision="float32", cache_dir=str(tmp_path / "store")
    )
    assert_array_equal(layer.predict(TEXTS), rows)
    assert get_shim(layer).n_encoded == 0


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8"])
def test_the_type_of_the_vectors_is_the_encoders(tmp_path: Path, dtype: str) -> None:
    for n_encoded in (4, 0):
        encoder = Lengths(dtype)
        rows = cached(encoder, tmp_path / "store", name="lengths").transform(TEXTS)
        assert rows.dtype == np.dtype(dtype)
        assert_array_equal(rows, Lengths(dtype).transform(TEXTS))
        assert len(encoder.seen) == n_encoded


@pytest.mark.parametrize(
    "X",
    [
        tuple(TEXTS),
        np.array(TEXTS, dtype=object),
        np.array(TEXTS[:4]),
        np.array(TEXTS, dtype=object)[:, None],
    ],
)
def test_texts_come_in_all_forms(tmp_path: Path, X: Any) -> None:
    rows = cached(Lengths(), tmp_path / "store", name="lengths").transform(X)
    assert_array_equal(rows, Lengths().transform(TEXTS[: len(X)]))


def test_no_text_is_the_encoders_business(tiny_encoder: Path, tmp_path: Path) -> None:
    assert cached(new(tiny_encoder), tmp_path / "store").transform([]).shape == (0, 64)
    rows = cached(Lengths("float16"), tmp_path / "store", name="lengths").transform([])
    assert (rows.shape, rows.dtype) == ((0, 2), np.dtype("float16"))


def test_the_encoder_itself_stays_as_it_is(tmp_path: Path) -> None:
    encoder = Lengths()
    before = dict(vars(encoder))
    cached(encoder, tmp_path / "store", name="lengths").transform(["a"])
    assert vars(encoder).keys() == before.keys()
    encoder.transform(["a"])
    assert encoder.seen == ["a", "a"]


def test_what_was_found_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    encoder = cached(Lengths(), tmp_path / "store", name="lengths")
    with caplog.at_level(logging.INFO):
        encoder.transform(["a", "b"])
        encoder.transform(["a", "b", "c"])
    assert "3 texts, 1 of them encoded now" in caplog.records[1].getMessage()


# What tells encoders apart


def test_an_encoder_that_nothing_tells_apart_needs_a_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no fingerprint.*name="):
        cached(Lengths(), tmp_path / "store")
    rows = [
        cached(Lengths(plus=plus), tmp_path / "store", name=f"plus {plus}").transform(["a"])
        for plus in (1.0, 2.0, 1.0)
    ]
    assert_array_equal(np.concatenate(rows)[:, 0], [2.0, 3.0, 2.0])


def test_plain_parameters_tell_encoders_apart(tmp_path: Path) -> None:
    scales = [1.0, 2.0, np.float64(2.0), 1.0]
    for _ in range(2):
        for scale in scales:
            encoder = cached(Scaled(scale), tmp_path / "store")
            assert_array_equal(encoder.transform(["abc"]), [[3 * scale]])
    assert len(VectorStore(tmp_path / "store")) == 2


def test_parameters_that_are_not_plain_do_not(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"unit is a list.*name="):
        cached(Scaled(unit=["mm"]), tmp_path / "store")
    with pytest.raises(ValueError, match=r"dtype is a type.*name="):
        cached(HashingVectorizer(), tmp_path / "store")


def test_what_an_encoder_has_learned_its_parameters_do_not_tell(tmp_path: Path) -> None:
    fitted = Scaled().fit(["abc"])
    with pytest.raises(ValueError, match=r"learned longest_.*name="):
        cached(fitted, tmp_path / "store")
    encoder = cached(fitted, tmp_path / "store", name="fitted on abc")
    assert_array_equal(encoder.transform(["abc"]), [[3.0]])


def test_a_name_does_not_hide_a_fingerprint(
    tiny_encoder: Path, other_encoder: Path, tmp_path: Path
) -> None:
    for path in (tiny_encoder, other_encoder):
        encoder = cached(new(path), tmp_path / "store", name="mine")
        assert_allclose(encoder.transform(TEXTS), new(path).transform(TEXTS), atol=1e-5)


def test_a_name_that_two_encoders_share_is_noticed_where_widths_or_types_differ(
    tmp_path: Path,
) -> None:
    cached(Lengths(), tmp_path / "store", name="mine").transform(["a"])
    with pytest.raises(StoreError, match=r"two kinds.*names, that differ"):
        cached(Lengths("float32"), tmp_path / "store", name="mine").transform(["a", "b"])


# As an estimator


def test_it_is_made_in_embetters_order_too(tiny_encoder: Path, tmp_path: Path) -> None:
    encoder = cached(str(tmp_path / "store"), new(tiny_encoder))
    assert isinstance(encoder.encoder, SentenceEncoder)
    encoder.transform(TEXTS)
    assert (tmp_path / "store").is_dir()


def test_in_a_pipeline_with_a_classifier(tiny_encoder: Path, tmp_path: Path) -> None:
    texts, topics = zip(*make_texts(60), strict=True)
    for _ in range(2):
        pipeline = make_pipeline(
            cached(new(tiny_encoder), tmp_path / "store"), LogisticRegression(C=1000, max_iter=1000)
        )
        pipeline.fit(texts, topics)
        assert pipeline.score(texts, topics) > 0.9
    assert pipeline[0].n_encoded == 0
    check_is_fitted(pipeline[0])


def test_clones_copies_and_pickles_use_the_same_directory(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    encoder = cached(new(tiny_encoder), tmp_path / "store", max_bytes=2**25)
    rows = encoder.transform(TEXTS)
    for other in (clone(encoder), copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))):
        before = other.n_encoded
        assert_array_equal(other.transform(TEXTS), rows)
        assert other.n_encoded == before
        assert other.max_bytes == 2**25


def test_a_directory_set_later_is_used(tmp_path: Path) -> None:
    encoder = cached(Lengths(), tmp_path / "one", name="lengths")
    encoder.transform(["a"])
    encoder.set_params(path=tmp_path / "two").transform(["a"])
    assert encoder.n_encoded == 2
    assert set(encoder.get_params(deep=False)) == {"encoder", "path", "max_bytes", "name"}


def test_parameters_of_the_encoder_can_be_set_through_it(tmp_path: Path) -> None:
    encoder = cached(Scaled(), tmp_path / "store")
    assert_array_equal(encoder.transform(["a"]), [[1.0]])
    encoder.set_params(encoder__scale=5.0)
    assert_array_equal(encoder.transform(["a"]), [[5.0]])


def test_attributes_of_the_encoder_are_there(tiny_encoder: Path, tmp_path: Path) -> None:
    encoder = cached(new(tiny_encoder), tmp_path / "store")
    assert encoder.name is None
    assert encoder.batch_size == 32
    assert len(encoder.get_feature_names_out()) == 64
    assert list(cached(Scaled(), tmp_path / "store").get_feature_names_out()) == ["length"]
    without = cached(Lengths(), tmp_path / "store", name="lengths")
    assert not hasattr(without, "get_feature_names_out")
    with pytest.raises(AttributeError, match="nothing"):
        _ = without.nothing


# Bad input


def test_what_is_no_encoder_and_no_path(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"no transform\(texts\)"):
        cached(len, tmp_path / "store")
    with pytest.raises(TypeError, match="no path"):
        cached(Lengths(), 3, name="lengths")
    with pytest.raises(ValueError, match="4 MiB"):
        cached(Lengths(), tmp_path / "store", name="lengths", max_bytes=10)
    with pytest.raises(ValueError, match="4 MiB"):
        cached(Lengths(), tmp_path / "store", name="lengths", max_bytes="1 GB")  # type: ignore[arg-type]


def test_what_is_no_text(tmp_path: Path) -> None:
    encoder = cached(Lengths(), tmp_path / "store", name="lengths")
    with pytest.raises(ValueError, match="single text"):
        encoder.transform("a text")
    with pytest.raises(ValueError, match="not a text"):
        encoder.transform(["a", 3])


def test_an_encoder_that_gives_no_matrix(tmp_path: Path) -> None:
    class Sparse:
        def transform(self, texts: list[str]) -> Any:
            return csr_array((len(texts), 1000))

    with pytest.raises(ValueError, match="matrix of numbers"):
        cached(Sparse(), tmp_path / "store", name="sparse").transform(["a", "b"])


def test_a_class_is_made_as_scikit_learn_wants_it(tmp_path: Path) -> None:
    # Parameters are looked at when it is fitted or used.
    encoder = CachedEncoder(Lengths(), tmp_path / "store")
    with pytest.raises(ValueError, match="name="):
        encoder.fit(["a"])
    with pytest.raises(ValueError, match="name="):
        encoder.transform(["a"])
    assert encoder.set_params(name="lengths").fit_transform(["a"]).shape == (1, 2)
