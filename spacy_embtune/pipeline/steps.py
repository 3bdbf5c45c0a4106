"""A callback for `[initialize.after_init]` that sets the number of training steps by the data."""

import logging
from collections.abc import Callable, Iterable

from spacy.language import Language
from spacy.training import Example

from ..training import suitable_steps
from .component import EmbTune

logger = logging.getLogger(__name__)

# The pipeline is scored so often in a training.
N_SCORED = 4


def make_steps_by_data(
    corpus: Callable[[Language], Iterable[Example]],
) -> Callable[[Language], Language]:
    """Create the callback `spacy-embtune.steps_by_data.v1`. If `training.max_steps` is 0, it sets
    it to the number that suits the number of labelled texts, see `suitable_steps`, and
    `training.eval_frequency` to a quarter of it:

        [initialize.after_init]
        @callbacks = "spacy-embtune.steps_by_data.v1"
        corpus = ${corpora.train}

    A schedule with `total_steps = ${training.max_steps}` follows.

    >>> callable(make_steps_by_data(lambda nlp: []))
    True

    corpus (Callable): Gives the training examples.
    RETURNS (Callable): The callback. It logs the number.
    """

    def set_steps(nlp: Language) -> Language:
        training = nlp.config["training"]
        if training["max_steps"] != 0:
            return nlp
        pipes = [pipe for _, pipe in nlp.components if isinstance(pipe, EmbTune)]
        labels = {label for pipe in pipes for label in pipe.labels}
        n_texts = sum(bool(labels & set(example.reference.cats)) for example in corpus(nlp))
        n_steps = suitable_steps(n_texts)
        training["max_steps"] = n_steps
        training["eval_frequency"] = max(1, n_steps // N_SCORED)
        logger.info("%d labelled texts: training takes %d steps", n_texts, n_steps)
        return nlp

    return set_steps
