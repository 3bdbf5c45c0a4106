"""What the numbers of a student mean, in words."""

from typing import NamedTuple

from ._fidelity import Fidelity

# Below these shares of the teacher's MAP@R a student loses much of what was tuned.
ENOUGH_STATIC, ENOUGH_LAYERS = 0.80, 0.92


class Verdict(NamedTuple):
    """Whether a student may take the place of its teacher.

    is_good (bool): Whether it is as faithful as was asked for.
    words (str): What is lost, and what would help.
    """

    is_good: bool
    words: str


def judge_student(found: Fidelity, *, wanted: float, n: int) -> Verdict:
    """Judge a student by texts that were held out.

    >>> judge_student(Fidelity(500, 0.9, 0.45, 0.97), wanted=0.95, n=0).is_good
    True
    >>> judge_student(Fidelity(500, 0.8, 0.35, 0.81), wanted=0.95, n=0).words[-30:]
    'words: try --student layers:3.'

    found (Fidelity): How well it agrees with its teacher.
    wanted (float): The agreement that was asked for.
    n (int): Number of layers of the student; 0: static.
    RETURNS (Verdict): The verdict.
    """
    if not found.n:
        return Verdict(False, "No text was held out, so it was not measured. Give more texts.")
    if found.agreement is None:
        measured = f"The cosine with its teacher is {found.cosine:.3f}"
        allowed = f"{wanted:.3f} was asked for"
    else:
        measured = (
            f"It predicts another label than its teacher for {1 - found.agreement:.1%} of the texts"
        ).replace("%", " %")
        allowed = f"{1 - wanted:.1%} were allowed".replace("%", " %")
    if found.value >= wanted:
        return Verdict(True, f"{measured}: it may take the place of its teacher.")
    if n:
        cure = f"Try more layers (--student layers:{n + 1}), more texts, or more --seconds."
    else:
        cure = "Labels may depend on the order of words: try --student layers:3."
    return Verdict(False, f"{measured}, and {allowed}. {cure}")
