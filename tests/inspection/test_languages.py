import pytest

from spacy_embtune.inspection import guess_language

SENTENCES = {
    "en": "The ball is in the net and the team is happy.",
    "de": "Der Ball ist im Tor und die Mannschaft ist froh.",
    "fr": "Le chat est sur la table de la cuisine.",
    "es": "El gato está en la mesa de la cocina.",
    "pt": "O gato não está na mesa da cozinha.",
    "it": "Il gatto è sul tavolo della cucina.",
    "nl": "De kat zit op de tafel in de keuken.",
    "fi": "Kissa on pöydällä ja se nukkuu.",
    "pl": "Kot siedzi na stole w kuchni i śpi.",
    "ru": "Кот сидит на столе и спит, но это не он.",
    "uk": "Кіт сидить на столі, але це не він.",
    "ar": "أين القط الذي كان في البيت",
    "zh": "猫在桌子上",
    "ja": "猫はテーブルの上にいます",
    "ko": "고양이가 책상 위에 있다",
    "el": "Ένας γάτος είναι στο τραπέζι",
    "he": "החתול על השולחן",
    "hi": "बिल्ली मेज पर है",
    "th": "แมวอยู่บนโต๊ะ",
}


@pytest.mark.parametrize("language", SENTENCES)
def test_a_sentence_is_enough_to_tell_the_language(language):
    assert guess_language(SENTENCES[language]) == language


@pytest.mark.parametrize("text", ["", " \n", "42", "Tokio", "🎉🎉", "\ud83d", "goal team referee"])
def test_no_language_is_guessed_without_evidence(text):
    assert guess_language(text) == "?"
