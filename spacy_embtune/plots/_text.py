"""Write texts on one line, and fit them to a width. Texts may hold any characters."""


def one_line(text: str, longest: int) -> str:
    """Write a text on one line, without control characters, which a terminal would obey.

    >>> one_line("two\\n\\x1b[31mlines", 20), one_line("a long text that goes on", 11)
    ('two [31mlines', 'a long tex…')

    text (str): The text.
    longest (int): How many characters to keep.
    RETURNS (str): The text, with "…" at the end if it was cut.
    """
    # More characters than needed, because white space is shortened below.
    start = text[: 4 * longest]
    line = " ".join("".join(mark if mark.isprintable() else " " for mark in start).split())
    is_whole = len(start) == len(text) and len(line) <= longest
    return line if is_whole else f"{line[: longest - 1].rstrip()}…"


def fit_text(text: str, width: float, size: float, *, weight: str = "normal") -> str:
    """Write a text on one line of a figure. If it is too wide, its middle is left out.

    text (str): The text.
    width (float): The largest width, in inches.
    size (float): The size of the font, in points.
    weight (str): The weight of the font.
    RETURNS (str): The text, with "…" where something was left out.
    """
    whole = one_line(text, 1000)
    # Few characters are narrower than a point, so texts with more characters than points are not
    # measured.
    longest = max(int(width * 72), 1)
    if len(whole) <= longest and text_width(whole, size, weight) <= width:
        return whole
    for kept in range(min(len(whole) - 1, longest), 0, -1):
        line = f"{whole[: kept - kept // 3]}…{whole[len(whole) - kept // 3 :]}"
        if text_width(line, size, weight) <= width:
            return line
    return "…"


def text_width(text: str, size: float, weight: str = "normal") -> float:
    """Measure a line of text.

    text (str): The line.
    size (float): The size of the font, in points.
    weight (str): The weight of the font.
    RETURNS (float): The width, in inches.
    """
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=size, weight=weight)
    return float(text_to_path.get_text_width_height_descent(text, font, False)[0]) / 72
