import pytest
import spacy

from spacy_embtune.pipeline import find_component


def test_the_only_component_is_found_whatever_its_name(make_nlp):
    nlp = make_nlp(name="mine")
    nlp.add_pipe("sentencizer")
    assert find_component(nlp) is nlp.get_pipe("mine")
    assert find_component(nlp, "mine") is nlp.get_pipe("mine")


def test_one_of_several_is_found_by_its_name(make_nlp):
    nlp = make_nlp()
    config = {"extension": "other", "base_extension": "other_base"}
    nlp.add_pipe("embtune", name="other", config=config)
    assert find_component(nlp, "other") is nlp.get_pipe("other")
    with pytest.raises(ValueError, match=r"several embtune components: 'embtune', 'other'.*--name"):
        find_component(nlp)
    nlp.disable_pipe("other")
    assert find_component(nlp) is nlp.get_pipe("embtune")


def test_a_pipeline_without_one_is_named(make_nlp):
    nlp = spacy.blank("en")
    with pytest.raises(ValueError, match="The pipeline en_pipeline has no embtune component, nor"):
        find_component(nlp)
    nlp.add_pipe("sentencizer")
    with pytest.raises(ValueError, match="here has no embtune component, only 'sentencizer'"):
        find_component(nlp, where="here")
    with pytest.raises(ValueError, match=r"of the name 'sentencizer'. It has: 'embtune'"):
        find_component(make_nlp(), "sentencizer")
