"""Make a set of many labels from the packages that are installed.

python benchmarks/docstrings.py OUT --labels 77,150

A text is the first paragraph of the docstring of a function or a class, its label the package or
the part of a package that it comes from ("sklearn.cluster"). OUT gets a directory a number of
labels, with train.jsonl and test.jsonl, {"text", "cats"} a line: those labels that have the most
texts, at most 150 texts each. ladder.py and others read it.
"""

import ast
import json
import random
import sysconfig
from collections import defaultdict
from pathlib import Path
from typing import Annotated

import typer

MOST_TEXTS = 150
SHORTEST, LONGEST = 30, 300


def main(
    out: Annotated[Path, typer.Argument(help="Directory for the sets")],
    labels: Annotated[str, typer.Option(help="Numbers of labels, with commas")] = "77,150",
) -> None:
    """Write the sets, and print how many texts they have."""
    found = read_docstrings(Path(sysconfig.get_paths()["purelib"]))
    by_size = sorted(found, key=lambda label: (-len(found[label]), label))
    for n in map(int, labels.split(",")):
        rng = random.Random(0)
        rows = []
        for label in by_size[:n]:
            texts = rng.sample(found[label], min(MOST_TEXTS, len(found[label])))
            rows += [{"text": text, "cats": {label: 1.0}} for text in texts]
        rng.shuffle(rows)
        n_test = len(rows) // 3
        folder = out / f"docstrings{n}"
        folder.mkdir(parents=True, exist_ok=True)
        for name, part in (("test", rows[:n_test]), ("train", rows[n_test:])):
            lines = "".join(f"{json.dumps(row)}\n" for row in part)
            (folder / f"{name}.jsonl").write_text(lines, encoding="utf8")
        print(f"{folder}: {len(rows) - n_test} and {n_test} texts, {n} labels")


def read_docstrings(root: Path) -> dict[str, list[str]]:
    """RETURNS (dict): The distinct texts of each label. A text of two labels is left out."""
    labels_of: dict[str, set[str]] = defaultdict(set)
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if len(parts) < 3 or any(part.startswith(("_", "test")) for part in parts):
            continue
        try:
            tree = ast.parse(path.read_text(encoding="utf8"))
        except (SyntaxError, ValueError, RecursionError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                first = (ast.get_docstring(node) or "").split("\n\n")[0]
                text = " ".join(first.split())
                if SHORTEST <= len(text) <= LONGEST:
                    labels_of[text].add(".".join(parts[:2]))
    found: dict[str, list[str]] = defaultdict(list)
    for text, labels in sorted(labels_of.items()):
        if len(labels) == 1:
            found[labels.pop()].append(text)
    return found


if __name__ == "__main__":
    typer.run(main)
