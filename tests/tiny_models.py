"""Tiny sentence-transformers models of many kinds, with random weights, made without a network."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .conftest import COMMON, TOPICS

WIDTH = 32
N_LAYERS = 3
WINDOW = 16

# Of other lengths; one twice, one empty, one longer than the window, one of unknown words.
TEXTS = [
    "bread and soup",
    "guitar",
    "",
    "the old stadium with a new coach and a new referee and a ball and a goal of the team",
    "guitar",
    "nobody knows these",
    " \n",
    "soup salt oven",
]


def make_tokenizer(side: str) -> Any:
    """RETURNS (PreTrainedTokenizerFast): Words to numbers, between <s> and </s>."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = sorted({word for topic in (*TOPICS.values(), COMMON) for word in topic.split()})
    vocabulary = {word: i for i, word in enumerate(["<s>", "<pad>", "</s>", "<unk>", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        padding_side=side,
    )


def _common(n_words: int) -> dict[str, Any]:
    return {
        "vocab_size": n_words,
        "hidden_size": WIDTH,
        "num_hidden_layers": N_LAYERS,
        "num_attention_heads": 2,
        "intermediate_size": 48,
        "max_position_embeddings": 40,
        "bos_token_id": 0,
        "pad_token_id": 1,
        "eos_token_id": 2,
    }


def _decoder(config: Any, model: Any, n_words: int) -> Any:
    return model(
        config(**_common(n_words), num_key_value_heads=1, head_dim=16, attention_dropout=0.1)
    )


def _make(kind: str, n: int) -> Any:
    """RETURNS (PreTrainedModel): A transformer of a kind, for n words."""
    import transformers as t

    makers: dict[str, Callable[[], Any]] = {
        "bert": lambda: t.BertModel(t.BertConfig(**_common(n))),
        "roberta": lambda: t.RobertaModel(t.RobertaConfig(**_common(n))),
        "mpnet": lambda: t.MPNetModel(t.MPNetConfig(**_common(n))),
        "albert": lambda: t.AlbertModel(t.AlbertConfig(**_common(n), embedding_size=16)),
        "deberta": lambda: t.DebertaV2Model(
            t.DebertaV2Config(**_common(n), relative_attention=True, position_buckets=8)
        ),
        "distilbert": lambda: t.DistilBertModel(
            t.DistilBertConfig(
                vocab_size=n,
                dim=WIDTH,
                hidden_dim=48,
                n_layers=N_LAYERS,
                n_heads=2,
                max_position_embeddings=40,
                pad_token_id=1,
            )
        ),
        "modernbert": lambda: t.ModernBertModel(
            t.ModernBertConfig(
                **_common(n),
                cls_token_id=0,
                sep_token_id=2,
                global_attn_every_n_layers=2,
                local_attention=4,
                attention_dropout=0.1,
                mlp_dropout=0.1,
            )
        ),
        "t5": lambda: t.T5EncoderModel(
            t.T5Config(
                vocab_size=n,
                d_model=WIDTH,
                d_kv=16,
                d_ff=48,
                num_layers=N_LAYERS,
                num_heads=2,
                pad_token_id=1,
                eos_token_id=2,
            )
        ),
        "xlnet": lambda: t.XLNetModel(
            t.XLNetConfig(
                vocab_size=n, d_model=WIDTH, n_layer=N_LAYERS, n_head=2, d_inner=48, pad_token_id=1
            )
        ),
        "qwen3": functools.partial(_decoder, t.Qwen3Config, t.Qwen3Model, n),
        "llama": functools.partial(_decoder, t.LlamaConfig, t.LlamaModel, n),
    }
    return makers[kind]()


def make_model(
    folder: Path,
    kind: str,
    *,
    pooling: str = "mean",
    side: str = "right",
    modules: Any = (),
    dtype: Any = None,
    prompt: str | None = None,
    include_prompt: bool = True,
) -> Path:
    """Make a model of three layers, 32 wide, with a window of 16 tokens, and save it.

    pooling (str): How its tokens become a vector.
    side (str): Where its tokenizer pads.
    modules (Any): Modules behind the pooling.
    dtype (Any): The type of its weights.
    prompt (str | None): What stands before every text.
    include_prompt (bool): Whether the tokens of that have a part in the vector.
    RETURNS (Path): Its directory.
    """
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    tokenizer = make_tokenizer(side)
    tokenizer.save_pretrained(folder / "transformer")
    torch.manual_seed(0)
    model = _make(kind, len(tokenizer))
    for parameter in model.parameters():
        # Larger than models start with: the texts' vectors are all alike otherwise.
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    model.to(dtype or torch.float32).save_pretrained(folder / "transformer")
    transformer = Transformer(str(folder / "transformer"), max_seq_length=WINDOW)
    pool = Pooling(WIDTH, pooling_mode=pooling, include_prompt=include_prompt)
    whole = SentenceTransformer(
        modules=[transformer, pool, *modules],
        device="cpu",
        prompts={"always": prompt} if prompt else None,
        default_prompt_name="always" if prompt else None,
    )
    return _save(whole, folder)


def make_static_model(folder: Path) -> Path:
    """RETURNS (Path): The directory of a model without layers: the mean of its words' vectors."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    torch.manual_seed(0)
    static = StaticEmbedding(make_tokenizer("right"), embedding_dim=WIDTH)
    return _save(SentenceTransformer(modules=[static], device="cpu"), folder)


def _save(model: Any, folder: Path) -> Path:
    model.save_pretrained(str(folder / "model"), create_model_card=False)
    return folder / "model"
