"""A batcher that balances the classes of each batch."""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator

from spacy.training import Example

from ..labels import CARRIES

Batcher = Callable[[Iterable[Example]], Iterator[list[Example]]]

# The number of examples that are balanced at once, for corpora that have twice as many or more.
BUFFER = 10_000


def make_batch_by_class(size: int = 64, seed: int = 0) -> Batcher:
    """Create a batcher (registered as `spacy-embtune.batch_by_class.v1`) whose batches have
    equally many documents of each class. It is meant for rare classes, and for losses that compare
    the documents of a batch. In an epoch, documents of small classes are used several times, and
    some documents of large classes are not used. Which ones changes from epoch to epoch, because
    the training shuffles the corpus.

    If there are more classes than half of the size, each batch has two documents each of some
    classes, and the next batch has documents of other classes.

    A document with several labels belongs to the class of its rarest label. Documents without a
    label are a class of their own.

        >>> import spacy
        >>> from spacy.training import Example
        >>> nlp = spacy.blank("en")
        >>> labels = ["COMMON"] * 9 + ["RARE"]
        >>> examples = [
        ...     Example.from_dict(nlp.make_doc(str(i)), {"cats": {label: 1.0}})
        ...     for i, label in enumerate(labels)
        ... ]
        >>> batches = list(make_batch_by_class(size=4)(examples))
        >>> [sum("RARE" in eg.reference.cats for eg in batch) for batch in batches]
        [1, 1]

    size (int): The number of documents in a batch. A corpus with at most this many documents is one
        batch. If a class has too few documents, other classes fill its places.
    seed (int): The seed for the order of repeated documents.
    RETURNS (Callable): The batcher: takes examples, yields lists of examples.
    RAISES (ValueError): If the size is below 2.
    """
    if size < 2:
        raise ValueError(f"size is {size}: a batch needs at least 2 documents to compare.")
    rng = random.Random(seed)

    def batch(examples: Iterable[Example]) -> Iterator[list[Example]]:
        buffer: list[Example] = []
        for example in examples:
            buffer.append(example)
            # The last part then has at least BUFFER examples.
            if len(buffer) == 2 * BUFFER:
                yield from _balance(buffer[:BUFFER], size, rng)
                del buffer[:BUFFER]
        if buffer:
            yield from _balance(buffer, size, rng)

    return batch


def _balance(examples: list[Example], size: int, rng: random.Random) -> Iterator[list[Example]]:
    examples = list({id(example): example for example in examples}.values())
    if len(examples) <= size:
        yield examples
        return
    classes: dict[str | None, list[Example]] = defaultdict(list)
    counts = Counter(label for example in examples for label in _labels_of(example))
    for example in examples:
        rarest = min(_labels_of(example), key=lambda label: (counts[label], label), default=None)
        classes[rarest].append(example)
    queues = [_repeat(members, rng) for members in classes.values()]
    # With many classes, a batch would have only one document of a class, and no pair of that class.
    # Then each class has two places, but not in every batch.
    at_once = 1 if 2 * len(queues) <= size else 2
    turn = 0
    for _ in range(max(round(len(examples) / size), 1)):
        chosen: dict[int, Example] = {}
        # No document is in a batch twice, so a class may fill less than its share.
        left = [len(members) for members in classes.values()]
        while len(chosen) < size:
            i = turn % len(queues)
            turn += 1
            for _ in range(min(at_once, left[i], size - len(chosen))):
                example = next(new for new in queues[i] if id(new) not in chosen)
                chosen[id(example)] = example
                left[i] -= 1
        yield list(chosen.values())


def _repeat(members: list[Example], rng: random.Random) -> Iterator[Example]:
    while True:
        yield from members
        members = rng.sample(members, len(members))


def _labels_of(example: Example) -> list[str]:
    return [label for label, value in example.reference.cats.items() if value >= CARRIES]
