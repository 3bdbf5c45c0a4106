"""Batches in which all classes meet."""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator

from spacy.training import Example

Batcher = Callable[[Iterable[Example]], Iterator[list[Example]]]

# How many examples batches are made of: those of a corpus, unless it has twice as many or more.
BUFFER = 10_000
CARRIES = 0.5


def make_batch_by_class(size: int = 64, seed: int = 0) -> Batcher:
    """Create a batcher (registered as `spacy-embtune.batch_by_class.v1`) whose batches hold each
    class as often as the others: for losses that compare the documents of a batch, and for rare
    classes. In each epoch a class has as many places as its share of batches; documents of the
    smaller ones come several times, those of the larger ones not all, but in turn from epoch to
    epoch, as the training shuffles them.

    If there are more classes than half of the size, a batch holds two documents each of some of
    them, and the next batch of others.

    A document that carries several labels counts for the rarest of them; those that carry none are
    a class of their own.

    size (int): Documents a batch. A corpus that has no more than this is one batch, as it is. Where
        a class has fewer documents than its share, the others fill its places.
    seed (int): For the order in which documents are repeated.
    RETURNS (Callable): Takes examples, gives lists of them.
    RAISES (ValueError): If the size is below 2.
    """
    if size < 2:
        raise ValueError(f"size is {size}: a batch needs at least 2 documents to compare.")
    rng = random.Random(seed)

    def batch(examples: Iterable[Example]) -> Iterator[list[Example]]:
        buffer: list[Example] = []
        for example in examples:
            buffer.append(example)
            # What is left in the end is never less than that.
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
    counts = Counter(label for example in examples for label in _carried(example))
    for example in examples:
        rarest = min(_carried(example), key=lambda label: (counts[label], label), default=None)
        classes[rarest].append(example)
    queues = [_repeat(members, rng) for members in classes.values()]
    # With more classes than places for two of each, a document would be alone with its class: then
    # each class has two places, in every other batch or so.
    at_once = 1 if 2 * len(queues) <= size else 2
    turn = 0
    for _ in range(max(round(len(examples) / size), 1)):
        chosen: dict[int, Example] = {}
        # A class may have less than its share: no document is twice in a batch.
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


def _carried(example: Example) -> list[str]:
    return [label for label, value in example.reference.cats.items() if value >= CARRIES]
