"""IBM's first model against its textbook example, and what it leaves out."""

from __future__ import annotations

from elman.baselines import WordByWord, _word_by_word


def test_the_meaning_of_words_is_found_from_what_they_share() -> None:
    das, haus, buch, ein = range(4)
    the, house, book, a = range(4)
    sources = [[das, haus], [das, buch], [ein, buch]]
    model = WordByWord(sources, [[the, house], [the, book], [a, book]])
    assert model.translate([ein, haus]) == [a, house]
    assert model.translate([]) == []
    assert model.translate([9, das]) == [the]


def test_what_usually_means_nothing_is_left_out() -> None:
    sources = [[0, 1], [0, 2], [0, 3], [1], [2], [3]]
    model = WordByWord(sources, [[1], [2], [3], [1], [2], [3]])
    assert model.translate([0, 3, 0, 1]) == [3, 1]


def test_only_so_much_is_looked_at(monkeypatch: object) -> None:
    sources, targets = [[0], [1]], [[5], [6]]
    before, _word_by_word.MOST = _word_by_word.MOST, 3
    try:
        model = WordByWord(sources, targets)
    finally:
        _word_by_word.MOST = before
    assert model.translate([0, 1]) == [5]
