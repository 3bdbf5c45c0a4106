"""Settings of encoders."""

from typing import Any

import pytest

from spacy_embtune.encoder import EncoderSettings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": ""}, "model name or a directory"),
        ({"precision": "float8"}, "auto, float32, bfloat16"),
        ({"batch_size": 0}, "at least 1"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EncoderSettings(**settings)
