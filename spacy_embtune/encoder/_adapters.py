"""Merges adapters, such as LoRA, into the weights that they adapt.

A saved adapter names its base model instead of containing it. Merged, the encoder is whole: it can
be stored, converted and finetuned as any other, and is as fast.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def merge_adapters(model: "SentenceTransformer") -> None:
    """Merge the adapters of a model, if it has some.

    model (SentenceTransformer): The model; it is changed in place.
    RAISES (ValueError): If an adapter cannot be merged.
    """
    for module in list(model.modules()):
        if not _is_adapted(module):
            continue
        for name, adapted in list(module.named_modules()):
            if hasattr(adapted, "get_base_layer") and hasattr(adapted, "merge"):
                _merge(module, name, adapted)
        made: Any = module
        made._hf_peft_config_loaded = False
        if hasattr(made, "peft_config"):
            del made.peft_config
        # It makes transformers save the weights under the names of an adapter.
        vars(made).pop("_weight_conversions", None)


def _is_adapted(module: Any) -> bool:
    return bool(getattr(module, "_hf_peft_config_loaded", False))


def _merge(module: Any, name: str, adapted: Any) -> None:
    """Merge one adapted layer and put its base layer in its place."""
    try:
        adapted.merge(safe_merge=True)
    except Exception as error:  # Kinds of adapters that cannot be merged raise any error.
        raise ValueError(
            f"The adapter of the layer {name} cannot be merged into the encoder ({error}), so the "
            f"encoder could not be stored with a pipeline. Merge it yourself, or use an encoder "
            f"without adapters."
        ) from error
    parent, _, last = name.rpartition(".")
    setattr(module.get_submodule(parent), last, adapted.get_base_layer())
