"""Runs a table of token vectors with numpy: no torch, no transformers."""

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .fingerprint import fingerprint_of_table
from .settings import EncoderSettings

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# Number of texts that are made into tokens at once.
CHUNK = 4096

MODULES, SETTINGS = "modules.json", "config_sentence_transformers.json"
WEIGHTS, TOKENIZER, WEIGHTS_KEY = "model.safetensors", "tokenizer.json", "embedding.weight"
STATIC, NORMALIZE = "StaticEmbedding", "Normalize"


class TokenTable:
    """A table of token vectors, as a `StaticEmbedding` of sentence-transformers holds it. The
    vector of a text is the mean of those of its tokens.

    vectors (ndarray): The vectors of tokens, float32, shape (V, width).
    tokenizer (Tokenizer): Makes the tokens.
    normalizes (bool): Whether the vectors of texts are brought to unit length.
    files (Mapping[str, bytes]): The files of the model's directory besides the vectors.
    is_half (bool): Whether the vectors are stored in float16.
    """

    def __init__(
        self,
        vectors: NDArray[Any],
        tokenizer: "Tokenizer",
        *,
        normalizes: bool,
        files: Mapping[str, bytes],
        is_half: bool = False,
    ) -> None:
        self.vectors = vectors
        self.tokenizer = tokenizer
        self.normalizes = normalizes
        self.files = dict(files)
        self.is_half = is_half

    @property
    def width(self) -> int:
        """RETURNS (int): Length of the vectors."""
        return int(self.vectors.shape[1])

    def fingerprint(self) -> str:
        """RETURNS (str): The fingerprint, the same as that of the model in torch."""
        modules = [STATIC, NORMALIZE] if self.normalizes else [STATIC]
        return fingerprint_of_table(self.vectors, self.tokenizer, modules)

    def encode(self, texts: Sequence[str], advance: Callable[[int], Any]) -> NDArray[Any]:
        """Compute the vectors of texts.

        texts (Sequence[str]): The n texts.
        advance (Callable): It is called with the number of texts that were done since the last
            call.
        RETURNS (ndarray): float32, shape (n, width); zeros for a text without a token.
        """
        rows = np.zeros((len(texts), self.width), dtype="float32")
        for start in range(0, len(texts), CHUNK):
            some = texts[start : start + CHUNK]
            rows[start : start + CHUNK] = self.mean(self.tokens(some))
            advance(len(some))
        if self.normalizes:
            lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
            np.divide(rows, lengths, out=rows, where=lengths > 0)
        return rows

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """RETURNS (list[list[int]]): The numbers of the tokens of each text; none for white
        space."""
        return tokens_of(self.tokenizer, texts)

    def mean(self, tokens: Sequence[Sequence[int]]) -> NDArray[Any]:
        """RETURNS (ndarray): The mean of the vectors of each list of tokens, float32, shape
        (n, width)."""
        means: NDArray[Any] = token_shares(tokens, len(self.vectors)) @ self.vectors
        return means

    def to_files(self) -> dict[str, bytes]:
        """RETURNS (dict[str, bytes]): The files of a directory that sentence-transformers opens,
        contents by relative POSIX path."""
        from safetensors.numpy import save

        vectors = self.vectors.astype("float16") if self.is_half else self.vectors
        return {**self.files, WEIGHTS: save({WEIGHTS_KEY: vectors})}

    def to_directory(self, path: Path) -> None:
        """Write these files.

        path (Path): The directory; it is created if there is none.
        """
        for name, content in self.to_files().items():
            file = path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)

    def open_model(self, open_directory: Callable[[Path], Any]) -> Any:
        """RETURNS (Any): What a function opens in a directory of these files, for the time of the
        call."""
        with tempfile.TemporaryDirectory() as folder:
            self.to_directory(Path(folder))
            return open_directory(Path(folder))


def tokens_of(tokenizer: "Tokenizer", texts: Sequence[str]) -> list[list[int]]:
    """RETURNS (list[list[int]]): The numbers of the tokens of each text; none for white space."""
    stripped = [text if text.strip() else "" for text in texts]
    return [made.ids for made in tokenizer.encode_batch_fast(stripped, add_special_tokens=False)]


def token_shares(tokens: Sequence[Sequence[int]], n_tokens: int) -> Any:
    """RETURNS (csr_array): The share that each token has in a text, float32, shape (n, n_tokens).
    Its product with a table of token vectors is the mean of the vectors of each text."""
    from scipy.sparse import csr_array

    lengths = np.fromiter(map(len, tokens), dtype="int64", count=len(tokens))
    ends = np.concatenate([[0], np.cumsum(lengths)])
    ids = np.fromiter(chain.from_iterable(tokens), dtype="int32", count=int(ends[-1]))
    shares = np.repeat((1 / np.maximum(lengths, 1)).astype("float32"), lengths)
    return csr_array((shares, ids, ends), shape=(len(tokens), n_tokens))


def is_table(path: Path, settings: EncoderSettings) -> bool:
    """Find out whether numpy can run the model in a directory with these settings: a table of token
    vectors, and perhaps a normalisation.

    path (Path): The directory.
    settings (EncoderSettings): The settings.
    RETURNS (bool): Whether it can.
    """
    changing = (settings.prompt, settings.prompt_name, settings.task, settings.truncate_dim)
    if any(value is not None for value in (*changing, settings.max_seq_length)):
        return False
    if settings.all_model_kwargs or settings.backend != "torch":
        return False
    if settings.device not in (None, "cpu") or settings.precision not in ("auto", "float32"):
        return False
    if not all((path / name).is_file() for name in (MODULES, WEIGHTS, TOKENIZER)):
        return False
    try:
        modules = list(_module_types(path))
        own = json.loads((path / SETTINGS).read_text("utf8")) if (path / SETTINGS).is_file() else {}
        has_prompt = bool((own.get("prompts") or {}).get(own.get("default_prompt_name") or ""))
        is_plain = not has_prompt and own.get("truncate_dim") is None
    except (ValueError, KeyError, TypeError, AttributeError):
        # Loading it with sentence-transformers says what is wrong.
        return False
    return is_plain and modules in ([STATIC], [STATIC, NORMALIZE])


def _module_types(path: Path) -> Iterator[str]:
    """YIELDS (str): The names of the modules' classes; with their packages if these are others'."""
    for module in json.loads((path / MODULES).read_text("utf8")):
        package, _, name = module["type"].rpartition(".")
        is_known = package.startswith("sentence_transformers.")
        # The files of the table must lie where they are looked for.
        is_here = name != STATIC or module["path"] in ("", ".")
        yield name if is_known and is_here else module["type"]


def _read_vectors(tensors: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """RETURNS (ndarray): The vectors of tokens, from the names of sentence-transformers or from
    those of model2vec, which may share vectors between tokens and keep weights apart."""
    if WEIGHTS_KEY in tensors:
        return tensors[WEIGHTS_KEY]
    vectors = tensors["embeddings"]
    if "mapping" in tensors:
        vectors = vectors[tensors["mapping"]]
    if "weights" in tensors:
        vectors = vectors.astype("float32") * tensors["weights"][:, None]
    return vectors


def read_table(path: Path) -> TokenTable:
    """Read the static model in a directory, see `is_table`.

    path (Path): The directory.
    RETURNS (TokenTable): The table.
    RAISES (ValueError): If its files are damaged.
    """
    from safetensors import safe_open
    from tokenizers import Tokenizer

    try:
        with safe_open(path / WEIGHTS, framework="numpy") as tensors:
            vectors = _read_vectors({name: tensors.get_tensor(name) for name in tensors.keys()})  # noqa: SIM118
        tokenizer = Tokenizer.from_file(str(path / TOKENIZER))
        if vectors.ndim != 2 or tokenizer.get_vocab_size() > len(vectors):
            raise ValueError(f"{vectors.shape} numbers for {tokenizer.get_vocab_size()} tokens")
    except Exception as error:
        # The tokenizer's reader raises plain Exception.
        raise ValueError(
            f"The sentence-transformers model in {path} cannot be read ({type(error).__name__}: "
            f"{error}). Its files may be damaged or incomplete: save or download it again."
        ) from error
    tokenizer.no_padding()
    files = {
        file.relative_to(path).as_posix(): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file() and file != path / WEIGHTS
    }
    return TokenTable(
        np.ascontiguousarray(vectors, dtype="float32"),
        tokenizer,
        normalizes=NORMALIZE in list(_module_types(path)),
        files=files,
        is_half=vectors.dtype == np.float16,
    )
