import math

import numpy as np
import pytest
import spacy
from spacy.tokens import DocBin

from spacy_embtune.data.doc_pairs import (
    GROUP,
    PARTNERS,
    Partner,
    get_group,
    get_partners,
    set_group,
    set_partners,
)

NLP = spacy.blank("en")


def test_partners_and_group_are_kept_by_docbin_and_bytes():
    doc = NLP("A man eats.")
    set_partners(doc, [("Someone eats.", 0.8), ("A dog sleeps.", np.float32(0.0))])
    set_group(doc, "meals")
    docs = DocBin(store_user_data=True)
    docs.add(doc)
    (stored,) = DocBin().from_bytes(docs.to_bytes()).get_docs(NLP.vocab)
    for copy in (doc, stored, spacy.tokens.Doc(NLP.vocab).from_bytes(doc.to_bytes()), doc.copy()):
        assert get_partners(copy) == [Partner("Someone eats.", 0.8), Partner("A dog sleeps.", 0.0)]
        assert get_group(copy) == "meals"


def test_without_partners_and_group_there_are_none():
    doc = NLP("A man eats.")
    assert (get_partners(doc), get_group(doc)) == ([], None)
    set_partners(doc, [("Someone eats.", 1.0)])
    set_partners(doc, [])
    assert doc.user_data == {}


@pytest.mark.parametrize(
    ("partners", "message"),
    [
        ("Someone eats.", "list of"),
        ([("Someone eats.",)], "not a text and a score"),
        (["Someone eats."], "not a text and a score"),
        ([(3, 1.0)], "partner is 3, a int"),
        ([(" \n", 1.0)], "empty text"),
        ([(" A man\neats. ", 1.0)], "paired with itself"),
        ([("Someone eats.", 1.5)], "1.5 is outside 0..1"),
        ([("Someone eats.", -0.1)], "-0.1 is outside 0..1"),
        ([("Someone eats.", math.nan)], "is NaN"),
        ([("Someone eats.", math.inf)], "inf is outside 0..1"),
        ([("Someone eats.", 10**400)], "inf is outside 0..1"),
        ([("Someone eats.", "1.0")], "'1.0' is not a number"),
        ([("Someone eats.", None)], "None is not a number"),
        ([("Someone eats.", True)], "True is not a number"),
    ],
)
def test_wrong_partners_are_errors_that_name_document_and_cause(partners, message):
    doc = NLP("A man eats.")
    doc.user_data[PARTNERS] = partners
    with pytest.raises(ValueError, match=r"document 'A man eats\.'") as error:
        get_partners(doc)
    assert message in str(error.value)
    doc.user_data.clear()
    with pytest.raises(ValueError, match=r"document 'A man eats\.'"):
        set_partners(doc, [tuple(partners)] if isinstance(partners, str) else partners)
    assert doc.user_data == {}


@pytest.mark.parametrize("group", ["", 3, ("a",)])
def test_a_group_is_a_string_that_is_not_empty(group):
    doc = NLP("A man eats.")
    doc.user_data[GROUP] = group
    with pytest.raises(ValueError, match=r"document 'A man eats\.': the group is"):
        get_group(doc)
    with pytest.raises(ValueError, match="the group is"):
        set_group(doc, group)
