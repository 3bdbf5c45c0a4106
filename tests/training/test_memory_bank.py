import numpy as np

from spacy_embtune.training.memory_bank import Entries, MemoryBank


def entries(*numbers: float) -> Entries:
    base = np.asarray([[number, 1.0] for number in numbers], dtype="float32")
    ones = np.ones((len(numbers), 1), dtype="float32")
    return Entries(base, ones, ones, [None] * len(numbers))


def test_the_oldest_go_first_and_a_renewed_one_is_young_again() -> None:
    bank = MemoryBank(3)
    bank.add("abc", entries(1, 2, 3))
    bank.add("a", entries(4))
    bank.add("d", entries(5))
    recalled = bank.entries(without="")
    assert recalled is not None
    assert recalled.base[:, 0].tolist() == [3, 4, 5]


def test_what_is_in_the_batch_is_left_out() -> None:
    bank = MemoryBank(3)
    assert bank.entries(without="") is None
    bank.add("ab", entries(1, 2))
    recalled = bank.entries(without="b")
    assert recalled is not None
    assert recalled.base[:, 0].tolist() == [1]
    assert bank.entries(without="ab") is None


def test_what_teaches_nothing_stays_out() -> None:
    bank = MemoryBank(3)
    nothing = np.zeros((3, 1), dtype="float32")
    base = np.asarray([[0, 0], [1, 1], [1, 1]], dtype="float32")
    bank.add("abc", Entries(base, nothing, nothing, ["g", None, "g"]))
    recalled = bank.entries(without="")
    assert recalled is not None
    assert recalled.groups == ["g"]
    assert len(bank) == 1


def test_a_bank_of_no_size_stays_empty() -> None:
    bank = MemoryBank(0)
    bank.add("a", entries(1))
    assert len(bank) == 0


def test_rows_are_copies() -> None:
    bank = MemoryBank(3)
    batch = entries(1, 2)
    bank.add("ab", batch)
    batch.base[:] = 0
    recalled = bank.entries(without="")
    assert recalled is not None
    assert recalled.base[:, 0].tolist() == [1, 2]
