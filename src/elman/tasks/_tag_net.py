"""The network of tagging: a word's vector and its characters, and what stands around it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from elman.cells import LSTM
from elman.data import Ragged
from elman.layers import Bidirectional, Recurrent
from elman.nn import Embedding, Pool
from elman.tasks._layers import ReceptiveField, embedding, recurrent
from elman.tasks._tag_config import TagNet

UNKNOWN = 0


class Forms:
    """Every word that was met, as it is written: numbered, with its lower case and characters.

    Rows keep the numbers of forms. A form that training did not have gets a number when it is met;
    the network knows it by its characters, and by the vector of ``UNKNOWN`` words.

    Args:
        words: the words with a vector of their own, lower case; ``UNKNOWN`` is their first.
        characters: the characters that are known; ``UNKNOWN`` is the first.

    Example:
        >>> forms = Forms(["<unk>", "cat"], ["<unk>", "C", "a", "t"])
        >>> forms.numbers(["Cat", "dog", "Cat"])
        [0, 1, 0]
        >>> forms.words(torch.tensor([0, 1])), forms.characters(torch.tensor([1]))[0]
        (tensor([1, 0]), tensor([[0, 0, 0]]))
    """

    def __init__(self, words: Sequence[str], characters: Sequence[str]) -> None:
        self.known_words, self.known_characters = list(words), list(characters)
        self._word = {word: number for number, word in enumerate(words)}
        self._character = {c: number for number, c in enumerate(characters)}
        self._number: dict[str, int] = {}
        self._tables: tuple[Tensor, Ragged] | None = None

    def numbers(self, forms: Iterable[str]) -> list[int]:
        """Their numbers; new ones get the next."""
        return [self._number.setdefault(form, len(self._number)) for form in forms]

    def all(self) -> list[str]:
        """The forms in the order of their numbers."""
        return list(self._number)

    def words(self, numbers: Tensor) -> Tensor:
        """The vectors' numbers of forms."""
        return self._table()[0][numbers]

    def characters(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """The characters of forms (forms,), padded (forms, longest), and their lengths."""
        return self._table()[1].padded(numbers)

    def _table(self) -> tuple[Tensor, Ragged]:
        if self._tables is None or len(self._tables[0]) != len(self._number):
            words = torch.tensor([self._word.get(form.lower(), UNKNOWN) for form in self._number])
            spelt = [[self._character.get(c, UNKNOWN) for c in form] for form in self._number]
            self._tables = words, Ragged.of(spelt, torch.int32)
        return self._tables


class TagNetwork(nn.Module):
    r"""Word and character vectors, recurrent layers, and scores at every word.

    .. math:: x_t = [E_{w_t};\; \overrightarrow{c}(w_t);\; \overleftarrow{c}(w_t)], \quad
        z_t = W\, \mathrm{drop}(\mathrm{recurrent}(x)_t) + b

    Each form of a batch is spelt once, however often it is there. Without recurrence a window
    of words around each one takes its place.

    Args:
        config: sizes and kinds.
        words, characters, labels: how many there are.

    References:
        Ling et al. 2015, "Finding function in form".
        Lample et al. 2016, "Neural architectures for named entity recognition".
    """

    def __init__(self, config: TagNet, words: int, characters: int, labels: int) -> None:
        super().__init__()
        self.dropout = config.dropout
        self.words = embedding(words, config.embedding)
        self.words.requires_grad_(not config.freeze)
        units, size = config.characters, config.embedding + 2 * config.characters
        if units:
            self.letters = Embedding(characters, units)
            ahead, back = (
                Recurrent(LSTM(units, units), batch_first=False, reverse=r, engine=config.engine)
                for r in (False, True)
            )
            self.spelling = Bidirectional(ahead, back)
            self.spelt = Pool("last", 2 * units, directions=2)
        self.recurrent = recurrent(
            config,
            size,
            ReceptiveField(config.window, "around"),
            bidirectional=config.bidirectional,
            drop_last=False,
        )
        self.output = nn.Linear(self.recurrent.output_size, labels)

    def forward(self, numbers: Tensor, lengths: Tensor, forms: Forms) -> Tensor:
        """Forms (batch, time) to scores (batch, time, labels)."""
        there, inverse = torch.unique(numbers.cpu().T, return_inverse=True)
        device = self.words.weight.device
        vectors = [self.words(forms.words(there).to(device))]
        if hasattr(self, "spelling"):
            letters, spelt = forms.characters(there)
            states, _ = self.spelling(self.letters(letters.T.to(device)), lengths=spelt)
            vectors.append(self.spelt(states, spelt))
        x = torch.cat(vectors, -1)[inverse.to(device)]
        x = F.dropout(x, self.dropout, self.training)
        states, _ = self.recurrent(x, lengths=lengths)
        scores: Tensor = self.output(F.dropout(states, self.dropout, self.training))
        return scores.transpose(0, 1)
