"""Make tuned vectors and label scores from base vectors.

A head is a Thinc model `Model[Floats2d, HeadOutput]` with the dims "nI" (width of the base
vectors), "nH" (width of the tuned vectors) and "nO" (number of labels). If labels can be added
later, its `attrs["resize_output"]` is a function `(model, new_nO) -> model`. Each head has a file
that holds its constructor, `forward` with the backward pass inside, and `init`.

    feed_forward.py    FeedForward: one hidden layer, whose activations are the tuned vectors
    contrastive.py     Contrastive: a residual network, for losses that compare documents
    linear.py          Linear: tuned vectors are the base vectors, for encoders that are finetuned
    pytorch_head.py    PyTorchHead: a torch module of the user
    towers.py          Towers: two heads for two kinds of objects, for estimators
    _torch_shim.py     runs, updates and stores the module of a PyTorchHead
    _standardize.py    the first layer of a head: centre the vectors and bring them to one length
    _layers.py         other small layers that heads share
    _output_layer.py   widths of a head, and how its output layer starts and grows
"""

from ._standardize import has_vector
from .contrastive import Contrastive
from .feed_forward import FeedForward
from .linear import Linear
from .pytorch_head import PyTorchHead
from .towers import Towers, join_sides

__all__ = [
    "Contrastive",
    "FeedForward",
    "Linear",
    "PyTorchHead",
    "Towers",
    "has_vector",
    "join_sides",
]
