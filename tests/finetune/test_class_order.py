"""Classes of estimators are sorted, whatever holds their targets."""

import numpy as np

from spacy_embtune.finetune._class_order import sort_columns
from spacy_embtune.finetune.labels import Labels
from spacy_embtune.labels import make_sparse_targets, make_targets

NAMES = ["C", "A", "B"]
CATS = [{"C": 1.0, "A": 0.0}, {"B": 0.5}, {}, {"A": 1.0, "B": 0.0, "C": 0.25}]


def test_sparse_targets_are_sorted_as_dense_ones_are():
    sorted_targets = []
    for make in (make_targets, make_sparse_targets):
        targets = make(CATS, NAMES, exclusive=False)
        labels = sort_columns(Labels("cats", np.asarray(NAMES), targets))
        assert labels.classes.tolist() == ["A", "B", "C"]
        sorted_targets.append(labels.targets)
    dense, sparse = sorted_targets[0], sorted_targets[1].select(range(4))
    for name in ("values", "known"):
        assert np.asarray(getattr(sparse, name)).tolist() == getattr(dense, name).tolist()
    assert np.asarray(dense.values)[3].tolist() == [1.0, 0.0, 0.25]
