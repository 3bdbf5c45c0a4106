"""How many tokens a word is."""

from pathlib import Path

from spacy_embtune.encoder import EncoderSettings, TextEncoder, token_counter


def test_words_of_the_vocabulary_are_one_token_and_others_are_unknown(tiny_encoder: Path) -> None:
    count_tokens = token_counter(TextEncoder.load(EncoderSettings(str(tiny_encoder))))
    assert count_tokens is not None
    assert count_tokens("guitar") == 1
    assert count_tokens("Guitar") == 1
    assert count_tokens("enty") is None
    assert count_tokens("") is None
