"""Reads properties of a sentence-transformers model, and of the processor that runs it."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def prompt_of(model: "SentenceTransformer") -> str | None:
    """RETURNS (str | None): The prompt that the model puts before each text; None: no prompt."""
    return model.prompts.get(model.default_prompt_name or "") or None


def window_of(model: "SentenceTransformer") -> int | None:
    """RETURNS (int | None): Number of tokens that a model reads of a text; None: all of them."""
    window = model.max_seq_length
    # Static models read all of a text: their length is inf.
    return int(window) if window and window != float("inf") else None


def input_module_of(model: "SentenceTransformer") -> Any:
    """RETURNS (Any): The module that reads the texts: the first one of the route that all texts
    take, or of the model."""
    first: Any = model[0]
    if type(first).__name__ == "Router" and first.default_route:
        return first.sub_modules[first.default_route][0]
    return first


def used_window_of(model: "SentenceTransformer") -> int | None:
    """RETURNS (int | None): Number of tokens that are read of a text. Unlike `window_of`, which is
    part of fingerprints, this is the number of the route that the texts take."""
    window = getattr(input_module_of(model), "max_seq_length", None)
    return int(window) if window and window != float("inf") else None


def width_of(model: "SentenceTransformer") -> int | None:
    """RETURNS (int | None): Length of the vectors; None if the model does not say it."""
    # Named get_sentence_embedding_dimension before sentence-transformers 5.4.
    getter: Any = getattr(model, "get_embedding_dimension", None)
    width = getter() if getter else model.get_sentence_embedding_dimension()
    return None if width is None else int(width)


def routers_of(model: "SentenceTransformer") -> list[Any]:
    """RETURNS (list[Router]): The modules that choose a route for each text."""
    return [module for module in model.modules() if type(module).__name__ == "Router"]


def processor_capabilities() -> dict[str, Any]:
    """RETURNS (dict[str, Any]): What torch knows of the processor, by names such as "avx512_bf16";
    empty before torch 2.13, which has no public function for it."""
    import torch

    found: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return found
