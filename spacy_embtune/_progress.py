"""When progress bars are shown, and how often they are drawn."""

import sys

# Below this many texts a progress bar would only flicker.
PROGRESS_FROM = 256


def progress_interval() -> float:
    """Choose how often a progress bar is drawn. In a log each drawing is a line, so there it is
    drawn less often than on a terminal or in a notebook.

    RETURNS (float): Seconds between two drawings.
    """
    is_watched = sys.stderr.isatty() or "ipykernel" in sys.modules
    return 0.1 if is_watched else 10.0
