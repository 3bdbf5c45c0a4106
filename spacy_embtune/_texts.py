"""Small helpers for texts: one form for comparing them, and a short form for messages."""


def fold_text(text: str) -> str:
    """Write each run of white space as one space. Texts that are then equal count as the same text.

    >>> fold_text(" two\\n  lines ")
    'two lines'

    text (str): The text.
    RETURNS (str): The text with single spaces, and none at its ends.
    """
    return " ".join(text.split())


def text_key(text: str) -> str:
    """Reduce a text to what has to differ in another text. Texts with equal keys are copies of each
    other: they differ only in case and white space.

    >>> text_key(" Good\\n soup. ") == text_key("good soup.")
    True

    text (str): The text.
    RETURNS (str): The key; empty if the text is empty or only white space.
    """
    return fold_text(text).casefold()


def shorten(text: str, most: int = 40) -> str:
    """Cut a text for a message.

    >>> shorten("a long text that goes on", 11)
    'a long text...'

    text (str): The text.
    most (int): How many characters to keep.
    RETURNS (str): The start of the text on one line, with dots behind it if it was cut.
    """
    text = text[: most + 1].replace("\n", " ")
    return text if len(text) <= most else f"{text[:most]}..."
