"""What spaCy imports for every pipeline, as it looks for factories."""

import subprocess
import sys

import pytest

CODE = """
import sys
import spacy

before = set(sys.modules)
import spacy_embtune.pipeline.factory

print(*sorted({name.split(".")[0] for name in set(sys.modules) - before}))
"""
HEAVY = {"torch", "transformers", "sentence_transformers", "sklearn", "scipy", "matplotlib"}


@pytest.mark.slow
def test_the_factory_imports_nothing_heavy_that_spacy_has_not_imported() -> None:
    result = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, check=True
    )
    imported = set(result.stdout.split())
    assert "spacy_embtune" in imported
    assert not imported & {*HEAVY, "pandas", "pyarrow", "umap", "rich", "typer"}
