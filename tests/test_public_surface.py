"""What `import spacy_embtune` offers, and what it costs."""

import subprocess
import sys

import pytest

import spacy_embtune

# What a user waits for when it is imported.
HEAVY = {"matplotlib", "sentence_transformers", "sklearn", "spacy", "thinc", "torch"}


def modules_after(code: str) -> set[str]:
    """RETURNS (set[str]): The top-level packages that a fresh process has imported after a line."""
    script = f"import sys\n{code}\nprint(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    return set(run.stdout.split())


@pytest.mark.slow
def test_importing_the_package_imports_nothing_heavy():
    loaded = modules_after("import spacy_embtune")
    assert "spacy_embtune" in loaded
    assert not loaded & HEAVY


@pytest.mark.slow
def test_the_entry_point_adds_nothing_heavy_to_a_blank_pipeline():
    without = modules_after("import spacy.lang.en, thinc.api; spacy.lang.en.English")
    loaded = modules_after("import spacy; spacy.blank('en')")
    added = {"sentence_transformers", "transformers", "sklearn", "matplotlib", "scipy", "pandas"}
    assert "spacy_embtune" in loaded
    assert not (loaded - without) & added
    # spaCy loads torch through thinc; nothing of ours has to.
    assert ("torch" in loaded) == ("torch" in without)


@pytest.mark.parametrize("name", sorted(set(spacy_embtune.__all__) - {"__version__"}))
def test_each_public_name_is_there_and_documented(name):
    value = getattr(spacy_embtune, name)
    assert callable(value)
    assert value.__name__ == name
    assert value.__doc__
    assert name in (spacy_embtune.__doc__ or "")
    assert name in dir(spacy_embtune)


@pytest.mark.slow
def test_public_names_stay_functions_after_their_rooms_are_imported():
    loaded = modules_after(
        "import spacy_embtune.reports, spacy_embtune.plots, spacy_embtune.embed\n"
        "import spacy_embtune as s\n"
        "assert not any(type(getattr(s, n)).__name__ == 'module' for n in s.__all__)"
    )
    assert "spacy_embtune" in loaded


def test_an_unknown_name_is_an_ordinary_error():
    with pytest.raises(AttributeError, match="no attribute 'encoders'"):
        _ = spacy_embtune.encoders
    with pytest.raises(ImportError):
        from spacy_embtune import encoders  # noqa: F401


def test_old_module_paths_are_an_ordinary_error():
    with pytest.raises(ModuleNotFoundError, match=r"spacy_embtune\.component"):
        __import__("spacy_embtune.component")
