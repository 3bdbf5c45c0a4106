"""Training: batches, the queue of earlier vectors, and the one training step of the package.

training_step   forward pass, loss, backward pass, optimizer: used by component and estimators
train_head      trains a head on batches of base vectors, outside of spaCy
BlockAdam       the optimizer of train_head
make_batch      examples -> a batch of documents and their targets
label_batches, pair_batches
                base vectors -> batches of rows and their targets
side_batches    base vectors of two sides -> batches of pairs; the negatives are in the batch
find_nearest_labels, label_text_weights, move_to_documents, texts_mean_something
                texts of labels as documents
MemoryBank      keeps earlier base vectors to compare a batch with
SeenTexts       remembers the training texts as digests
make_batch_by_class
                the batcher `spacy-embtune.batch_by_class.v1`
"""

from .adam import BlockAdam
from .batchers import make_batch_by_class
from .batches import Batch, add_memory, describe, make_batch
from .label_documents import (
    ODDS_OF_CODES,
    ODDS_OF_WORDS,
    NearestLabels,
    find_nearest_labels,
    label_text_weights,
    move_to_documents,
    texts_mean_something,
)
from .loop import run_steps, seeded, train_head
from .memory_bank import Entries, MemoryBank
from .row_batches import (
    RowBatch,
    ScoredPairs,
    count_batches,
    label_batches,
    pair_batches,
    pair_targets,
    select_rows,
    shuffled_batches,
)
from .sections import build_section
from .seen_texts import SeenTexts
from .side_batches import SidePairs, has_negatives, side_batches
from .step import StepResult, head_forward, training_step
from .steps import suitable_steps

__all__ = [
    "ODDS_OF_CODES",
    "ODDS_OF_WORDS",
    "Batch",
    "BlockAdam",
    "Entries",
    "MemoryBank",
    "NearestLabels",
    "RowBatch",
    "ScoredPairs",
    "SeenTexts",
    "SidePairs",
    "StepResult",
    "add_memory",
    "build_section",
    "count_batches",
    "describe",
    "find_nearest_labels",
    "has_negatives",
    "head_forward",
    "label_batches",
    "label_text_weights",
    "make_batch",
    "make_batch_by_class",
    "move_to_documents",
    "pair_batches",
    "pair_targets",
    "run_steps",
    "seeded",
    "select_rows",
    "shuffled_batches",
    "side_batches",
    "suitable_steps",
    "texts_mean_something",
    "train_head",
    "training_step",
]
