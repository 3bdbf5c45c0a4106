"""What the room `spacy_embtune.encoder` shows, and what importing it loads."""

import subprocess
import sys

import pytest

from spacy_embtune import encoder


@pytest.mark.slow
def test_importing_the_room_loads_no_library_that_is_slow_to_import() -> None:
    code = (
        "import sys, spacy_embtune.encoder\n"
        "slow = {'torch', 'sentence_transformers', 'thinc', 'spacy', 'sklearn'}\n"
        "print(sorted(slow & set(sys.modules)))\n"
        "from spacy_embtune.encoder import SentenceTransformer, DocVectors, find_shim\n"
        "print('sentence_transformers' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split("\n")[:2] == ["[]", "False"]


def test_every_name_is_there() -> None:
    for name in encoder.__all__:
        assert getattr(encoder, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        encoder.nothing  # noqa: B018
