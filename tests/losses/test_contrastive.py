import math

import numpy as np
import pytest
import torch

from spacy_embtune.labels import make_targets
from spacy_embtune.losses import make_supervised_contrastive

from .pairs_by_hand import (
    BATCHES,
    EXCLUSIVE,
    LABELS,
    MULTI,
    check_against,
    cosines_in_torch,
    known_pairs,
    output,
)

each_batch = pytest.mark.parametrize("targets", BATCHES.values(), ids=BATCHES)


def contrastive_in_torch(targets, temperature, negatives="ignore", share=None):
    """Anchor by anchor. share: the weight of each anchor's loss."""
    similarity, weight = known_pairs(targets, negatives)

    def by_torch(tuned):
        cosine = cosines_in_torch(tuned)
        losses, shares = [], []
        for i in range(len(tuned)):
            others = [j for j in range(len(tuned)) if weight[i, j] > 0]
            if len({round(similarity[i, j], 5) for j in others}) < 2:
                continue
            w = torch.tensor(weight[i, others])
            s = torch.tensor(similarity[i, others])
            found = (cosine[i, others] / temperature).exp()
            log_p = (found / (w * found).sum()).log()
            losses.append(-(s * w * log_p).sum() / (s * w).sum())
            shares.append(1.0 if share is None else share[i])
        shares = torch.tensor(shares, dtype=torch.float64)
        return (torch.stack(losses) * shares).sum() / shares.sum()

    return by_torch


def khosla_in_torch(labels, temperature):
    """L_out as in the paper's own code: masks and log-softmax, without a temperature before it."""
    same = torch.tensor([[a == b for b in labels] for a in labels]).double()
    same.fill_diagonal_(0)

    def by_torch(tuned):
        logits = cosines_in_torch(tuned) / temperature
        itself = torch.eye(len(labels), dtype=torch.bool)
        log_p = logits - logits.masked_fill(itself, -math.inf).logsumexp(1, keepdim=True)
        n_positive = same.sum(1)
        return -((same * log_p).sum(1) / n_positive.clamp(min=1))[n_positive > 0].mean()

    return by_torch


def test_of_exclusive_classes_it_is_the_papers_loss():
    labels = "AABBCABA"  # C has no positive.
    targets = make_targets([{label: 1.0} for label in labels], LABELS, exclusive=True)
    loss = make_supervised_contrastive(0.2, balanced=False)
    check_against(khosla_in_torch(labels, 0.2), loss, output(), targets)


@each_batch
@pytest.mark.parametrize("negatives", ["ignore", "class"])
@pytest.mark.parametrize("temperature", [0.05, 1.0])
def test_graded_and_weighted_pairs_are_soft_targets(targets, negatives, temperature):
    loss = make_supervised_contrastive(temperature, balanced=False, negatives=negatives)
    check_against(contrastive_in_torch(targets, temperature, negatives), loss, output(), targets)


def test_balanced_anchors_give_each_class_the_same_say():
    targets = make_targets([{label: 1.0} for label in "AAAAAABB"], LABELS, exclusive=True)
    share = [1 / 6] * 6 + [1 / 2] * 2
    by_torch = contrastive_in_torch(targets, 0.1, share=share)
    check_against(by_torch, make_supervised_contrastive(), output(), targets)


def test_an_anchor_of_several_labels_weighs_the_mean_of_theirs():
    out = output()
    # Who takes part: all but the unlabelled, and those whose known pairs are all the same.
    similarity, weight = known_pairs(MULTI)
    takes_part = [
        len({s for s, w in zip(*row, strict=True) if w}) > 1
        for row in zip(similarity, weight, strict=True)
    ]
    values = (MULTI.values * MULTI.known)[takes_part]
    share = np.zeros(8)
    share[takes_part] = (values / values.sum(0)).sum(1) / values.sum(1)
    by_torch = contrastive_in_torch(MULTI, 0.1, share=share)
    check_against(by_torch, make_supervised_contrastive(), out, MULTI)


def test_anchors_of_given_pairs_all_weigh_the_same():
    targets = BATCHES["graded pairs"]
    out = output()
    balanced, plain = (make_supervised_contrastive(balanced=b)(out, targets) for b in (True, False))
    assert balanced[0] == plain[0]


def test_unknown_pairs_are_neither_positive_nor_negative():
    targets = make_targets(
        [{"A": 1.0}, {"A": 1.0}, {"A": 0.0}, {"B": 1.0}], LABELS, exclusive=False
    )
    gradient = make_supervised_contrastive()(output(4), targets)[1]
    assert gradient.tuned[:3].any(axis=1).all()
    assert not gradient.tuned[3].any()


@pytest.mark.parametrize("temperature", [1e-6, 1e-3, 1e6])
def test_extreme_temperatures_give_finite_numbers(temperature):
    with np.errstate(all="raise", under="ignore"):
        value, gradient = make_supervised_contrastive(temperature)(
            output(dtype="float32"), EXCLUSIVE
        )
    assert math.isfinite(value)
    assert np.isfinite(gradient.tuned).all()


def test_classes_at_right_angles_leave_nothing_to_learn_at_a_low_temperature():
    tuned = np.eye(3)[[0, 0, 1, 1]]
    targets = make_targets([{label: 1.0} for label in "AABB"], LABELS, exclusive=True)
    out = output(4)._replace(tuned=tuned)
    assert make_supervised_contrastive(0.02)(out, targets)[0] < 1e-9


@pytest.mark.parametrize(
    ("make", "arguments", "name"),
    [
        (make_supervised_contrastive, {"temperature": 0.0}, "temperature"),
        (make_supervised_contrastive, {"temperature": math.inf}, "temperature"),
        (make_supervised_contrastive, {"temperature": math.nan}, "temperature"),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(make, arguments, name):
    with pytest.raises(ValueError, match=name):
        make(**arguments)
