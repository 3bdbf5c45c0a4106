import pytest
import spacy
from spacy import registry
from thinc.api import Config

TRIPLET = {"@losses": "spacy-embtune.triplet.v1"}
COSENT = {"@losses": "spacy-embtune.cosent.v1"}


@pytest.mark.parametrize(
    ("section", "instead"),
    [
        (TRIPLET, "supervised_contrastive"),
        ({**TRIPLET, "margin": 0.5, "mining": "hard"}, "supervised_contrastive"),
        (COSENT, "cosine_pairs"),
        ({**COSENT, "scale": 20.0, "negatives": "class"}, "cosine_pairs"),
    ],
)
def test_the_error_of_a_removed_loss_says_what_to_write_instead(section, instead):
    match = rf"{section['@losses']} was removed.*\"spacy-embtune.{instead}.v1\" in its place"
    with pytest.raises(ValueError, match=match):
        registry.resolve(Config({"loss": section}))


def test_a_pipeline_stored_with_a_removed_loss_says_what_to_write_instead(make_nlp, tmp_path):
    make_nlp().to_disk(tmp_path)
    config = Config().from_disk(tmp_path / "config.cfg")
    settings = {"margin": 0.2, "mining": "semi-hard", "negatives": "ignore"}
    config["components"]["embtune"]["loss"] = {**TRIPLET, **settings}
    config.to_disk(tmp_path / "config.cfg")
    with pytest.raises(ValueError, match=r"triplet\.v1 was removed"):
        spacy.load(tmp_path)
