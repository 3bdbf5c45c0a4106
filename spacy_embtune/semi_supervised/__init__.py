"""What texts without labels teach, given the vectors of all texts and the labels of a few.

VectorSpace     the unit vectors of a pile, and what is computed of them once
NeighbourGraph, Propagation
                labels of texts, passed on to neighbours in a pile
propagate_names, predict_by_names, weigh_names
                the same for names of labels
fit_classifier  both views together: a linear classifier and the neighbours, with predictions out of
                fold
fit_ridge       the linear classifier
choose_pseudo_labels, compare_with_means, surest
                labels for unlabelled documents, by a trained model
BalancedOrder   draws documents so that each class is drawn equally often
"""

from .classifier import Classifier, find_single, fit_classifier, fit_to
from .names import Names, predict_by_names, weigh_names
from .propagation import NamePropagation, NeighbourGraph, Propagation, propagate_names
from .pseudo_labels import (
    SUREST_SHARE,
    BalancedOrder,
    ChosenLabels,
    choose_pseudo_labels,
    compare_with_means,
    surest,
)
from .ridge import FEWEST_TO_CHOOSE, Ridge, fit_ridge
from .space import VectorSpace

__all__ = [
    "FEWEST_TO_CHOOSE",
    "SUREST_SHARE",
    "BalancedOrder",
    "ChosenLabels",
    "Classifier",
    "NamePropagation",
    "Names",
    "NeighbourGraph",
    "Propagation",
    "Ridge",
    "VectorSpace",
    "choose_pseudo_labels",
    "compare_with_means",
    "find_single",
    "fit_classifier",
    "fit_ridge",
    "fit_to",
    "predict_by_names",
    "propagate_names",
    "surest",
    "weigh_names",
]
