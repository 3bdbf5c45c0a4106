"""Words as an encoder reads them."""

from collections.abc import Callable
from typing import Any

from .text_encoder import TextEncoder


def token_counter(encoder: TextEncoder) -> Callable[[str], int | None] | None:
    """Make a function that counts the tokens of a word. Words that an encoder knows are one token
    or a few long ones; abbreviations are many short ones.

    >>> from spacy_embtune.encoder import EncoderSettings
    >>> count_tokens = token_counter(TextEncoder.load(EncoderSettings("all-MiniLM-L6-v2")))
    >>> count_tokens("weather"), count_tokens("enty")
    (1, 2)

    encoder (TextEncoder): The encoder.
    RETURNS (Callable | None): Takes a word, and returns its number of tokens, or None if a part of
        it is unknown to the encoder. None if the encoder has no tokenizer for words.
    """
    tokenizer: Any = encoder.tokenizer
    # The one that a fast tokenizer of transformers wraps, which has the interface of a table's.
    inner = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if not hasattr(inner, "encode_batch"):
        return None
    unknown = getattr(tokenizer, "unk_token_id", None)
    if unknown is None:
        unknown = next((i for i in map(inner.token_to_id, ("[UNK]", "<unk>")) if i is not None), -1)

    def count_tokens(word: str) -> int | None:
        # A word in a text comes after a space, which some tokenizers make a part of it.
        made = inner.encode(f" {word}", add_special_tokens=False)
        # Without the padding that some tokenizers are set to.
        ids = [i for i, used in zip(made.ids, made.attention_mask, strict=True) if used]
        return None if not ids or unknown in ids else len(ids)

    return count_tokens
