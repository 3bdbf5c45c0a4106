"""Applies the settings that change what a model reads and what it returns.

They are applied to the model itself, so that whatever runs it follows them: the encoder, the
trainer, the fingerprint, and the directory that is stored with a pipeline.
"""

from typing import TYPE_CHECKING, Any

from ._properties import prompt_of, routers_of, width_of, window_of
from .settings import EncoderSettings

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

# Name of a prompt that a user gave, among the prompts of the model.
GIVEN = "spacy-embtune"


def adjust(model: "SentenceTransformer", settings: EncoderSettings) -> None:
    """Apply prompt, task, window and width to a model.

    model (SentenceTransformer): The model; it is changed in place.
    settings (EncoderSettings): The settings.
    RAISES (ValueError): If the model cannot follow a setting.
    """
    if settings.task is not None:
        _choose_route(model, settings.task)
    if settings.max_seq_length is not None:
        _set_window(model, settings.max_seq_length)
    if settings.prompt is not None:
        model.prompts = {**model.prompts, GIVEN: settings.prompt}
        model.default_prompt_name = GIVEN
    elif settings.prompt_name is not None:
        if settings.prompt_name not in model.prompts:
            known = ", ".join(repr(name) for name in model.prompts if name != GIVEN) or "none"
            raise ValueError(
                f"The encoder {settings.name!r} has no prompt named {settings.prompt_name!r}; it "
                f"has: {known}. Give one of them, or the text itself as prompt."
            )
        model.default_prompt_name = settings.prompt_name
    _check_prompt(model)
    if settings.truncate_dim is not None:
        _set_width(model, settings.truncate_dim)


def _choose_route(model: "SentenceTransformer", task: str) -> None:
    routers = routers_of(model)
    if not routers:
        raise ValueError(
            f"task is {task!r}, but the encoder has one route for all texts (no Router). Leave "
            f"task out; for a text in front of each text use prompt or prompt_name."
        )
    for router in routers:
        mappings = dict(getattr(router, "route_mappings", None) or {})
        by_mapping = mappings.get((task, "text"), mappings.get((task, None)))
        route = task if task in router.sub_modules else by_mapping
        if route is None:
            known = sorted({*router.sub_modules, *(t for t, _ in mappings if t is not None)})
            raise ValueError(
                f"The encoder has no route for task {task!r}. Give one of: {', '.join(known)}."
            )
        router.default_route = route
        # A mapping for texts without a task would go first.
        for key in ((None, "text"), (None, None)):
            if key in mappings:
                router.route_mappings[key] = route


def _set_window(model: "SentenceTransformer", window: int) -> None:
    tokenizer: Any = model.tokenizer
    if tokenizer is None or not hasattr(tokenizer, "model_max_length"):
        raise ValueError(
            f"max_seq_length is {window}, but this encoder reads all of a text. Leave it out."
        )
    limit = _positions(model)
    if limit is not None and window > limit:
        raise ValueError(
            f"max_seq_length is {window}, but the encoder has positions for {limit} tokens only. "
            f"Give {limit} or less."
        )
    special = tokenizer.num_special_tokens_to_add() if callable(tokenizer) else 0
    if window <= special:
        raise ValueError(
            f"max_seq_length is {window}, and {special} of these are special tokens: no room for a "
            f"text is left. Give a larger number."
        )
    model.max_seq_length = window


def _positions(model: "SentenceTransformer") -> int | None:
    """RETURNS (int | None): Number of tokens that the model has learned positions for; None if its
    positions are computed."""
    import torch

    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, torch.nn.Embedding):
            # RoBERTa and its relatives count from behind the padding token.
            offset = 0 if module.padding_idx is None else module.padding_idx + 1
            return module.num_embeddings - offset
    return None


def _check_prompt(model: "SentenceTransformer") -> None:
    prompt, window, tokenizer = prompt_of(model), window_of(model), model.tokenizer
    if not prompt or window is None or not callable(tokenizer):
        return
    length = len(tokenizer(prompt, truncation=False, verbose=False)["input_ids"])
    if length >= window:
        raise ValueError(
            f"The prompt {prompt!r:.60} has {length} tokens, special ones included, and the "
            f"encoder reads {window}: no room for the text is left. Shorten the prompt, or raise "
            f"max_seq_length."
        )


def _set_width(model: "SentenceTransformer", width: int) -> None:
    model.truncate_dim = None
    full = width_of(model)
    if full is not None and width > full:
        raise ValueError(
            f"truncate_dim is {width}, but the encoder returns vectors of {full} numbers. Give "
            f"{full} or less, or leave it out."
        )
    model.truncate_dim = width
