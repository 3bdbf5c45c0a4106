"""spaCy's console logger with short column titles. spaCy cuts titles off after 13 characters, so
`embtune_base_p1` and `embtune_base_map_r` would look the same."""

from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

from spacy.language import Language
from spacy.training.loggers import console_logger_v3

LogStep = Callable[[dict[str, Any] | None], None]
_TITLES = {
    "_base_p1": "base p@1",
    "_base_map_r": "base MAP@R",
    "_base_spearman": "base Spearman",
    "_base_pearson": "base Pearson",
    "_p1": "p@1",
    "_map_r": "MAP@R",
    "_spearman": "Spearman",
    "_pearson": "Pearson",
}


def console_logger(
    progress_bar: str | None = None, output_file: str | Path | None = None
) -> Callable[[Language, IO[str], IO[str]], tuple[LogStep, Callable[[], None]]]:
    """Create the logger `spacy-embtune.console_logger.v1`.

    >>> callable(console_logger())
    True

    progress_bar (str | None): "train", "eval" or None, as in `spacy.ConsoleLogger.v3`.
    output_file (str | Path | None): A JSONL file to which the log is written as well.
    RETURNS (Callable): The setup function that `[training.logger]` needs.
    """
    set_up = console_logger_v3(progress_bar=progress_bar)
    set_up_file = console_logger_v3(console_output=False, output_file=output_file)

    def set_up_renamed(
        nlp: Language, stdout: IO[str], stderr: IO[str]
    ) -> tuple[LogStep, Callable[[], None]]:
        weights = nlp.config["training"]["score_weights"]
        titles = _titles(weights)
        training = {
            **nlp.config["training"],
            "score_weights": {titles[key]: weight for key, weight in weights.items()},
        }
        renamed: Any = SimpleNamespace(pipeline=nlp.pipeline, config={"training": training})
        # The log file keeps the full names of the scores. This logger comes first because it prints
        # the path of its file.
        log_to_file, finalize_file = set_up_file(nlp, stdout, stderr)
        log_step, finalize = set_up(renamed, stdout, stderr)

        def log_step_renamed(info: dict[str, Any] | None) -> None:
            log_to_file(info)
            if info is not None:
                scores = info["other_scores"]
                info = {**info, "other_scores": {titles.get(k, k): v for k, v in scores.items()}}
            log_step(info)

        def finalize_both() -> None:
            finalize()
            finalize_file()

        return log_step_renamed, finalize_both

    return set_up_renamed


def _titles(keys: Iterable[str]) -> dict[str, str]:
    """RETURNS (dict[str, str]): The column title of each score. Scores that would get the same
    title, as those of two components, keep their names."""
    titles = {key: _title(key) for key in keys}
    return {k: t if list(titles.values()).count(t) == 1 else k for k, t in titles.items()}


def _title(key: str) -> str:
    for suffix, title in _TITLES.items():
        if key.endswith(suffix):
            return title
    return key
