"""The language model: predict the next word, character or piece of a word."""

from __future__ import annotations

import logging
import shutil
import tempfile
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from os.path import lexists
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elman._errors import CheckpointError, DataError
from elman.baselines import ngram_baselines
from elman.bptt import State
from elman.data import Lanes, Source, Split, TextSource, Vocabulary, by_name, open_tokens, tokenize
from elman.decode import sample
from elman.metrics import bits_per_char, perplexity
from elman.nn import linear_cross_entropy
from elman.tasks._language_config import LanguageAsked, LanguageData, LanguageNet
from elman.tasks._language_net import LanguageNetwork
from elman.tasks._task import Excerpt, Metrics, Predictions, Reading, Task

log = logging.getLogger(__name__)

SILENCE = 5.0
"""Seconds after which one is told how far it is."""

SHOWN_STEPS = 64
"""Steps of a row to look inside with, unless the text is given."""

SCORES_AT_ONCE = 1 << 24
"""Evaluation reads as many steps at once as give this many scores: 64 MB of them."""


@dataclass(frozen=True)
class Piece:
    """The steps ``start`` to ``stop`` of some lanes, as a batch."""

    lanes: Lanes
    start: int
    stop: int

    @property
    def rows(self) -> int:
        return self.lanes.lanes

    @property
    def steps(self) -> int:
        return self.stop - self.start

    @property
    def continues(self) -> bool:
        return self.start > 0

    def count(self, start: int, stop: int) -> int:
        return self.rows * (stop - start)

    def window(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets (rows, stop - start)."""
        return self.lanes.window(self.start + start, self.start + stop)


class LanguageModel(Task):
    r"""Next-token prediction over a text, read in contiguous lanes with the state carried along.

    .. math:: L = -\sum_t \ln p(w_{t+1} \mid w_{\le t}),
        \qquad p = \mathrm{softmax}(W_{hy} h_t + b_y)

    Make one with `prepare`, train it with `elman.training.fit`, load it with `elman.load`.

    Args:
        vocabulary: what the tokens are.
        tokens: the tokens of each split that there is: "train", "valid", "test".
        data: how they are read.
        model: the network to build.

    Example:
        >>> text = ["the cat sat on the mat"] * 20
        >>> path = Path(tempfile.mkdtemp(), "cat.txt")
        >>> _ = path.write_text("\n".join(text))
        >>> data = LanguageData(train=[path], lanes=2, eval_lanes=1)
        >>> task = LanguageModel.prepare(data, LanguageNet(hidden=8))
        >>> sorted(task.evaluate("valid"))
        ['nats', 'perplexity']
        >>> [word for word, p in task.next_words("the cat", top=3)]  # untrained
        [..., ..., ...]

    References:
        Mikolov et al. 2010, "Recurrent neural network based language model".
        Zaremba, Sutskever & Vinyals 2014, "Recurrent neural network regularization".
    """

    name: ClassVar[str] = "language"
    network: LanguageNetwork

    def __init__(
        self,
        vocabulary: Vocabulary,
        tokens: Mapping[str, NDArray[Any]],
        data: LanguageData,
        model: LanguageNet,
    ) -> None:
        self.vocabulary, self.tokens, self.data, self.model = vocabulary, dict(tokens), data, model
        self.splits = tuple(self.tokens)
        self._ratios: dict[str, float] = {}
        self._known: set[str] = set()  # splits whose tokens are all in the vocabulary

    @classmethod
    def prepare(
        cls,
        data: Any,
        model: Any,
        folder: Path | None = None,
        reading: Reading | None = None,
    ) -> LanguageModel:
        """Read the text: learn the vocabulary, and write each split as a token file.

        Args:
            data: what to read.
            model: the network to build later.
            folder: where the token files go; a temporary folder if None.
            reading: called with what is read, the bytes done, and the bytes there are.

        Raises:
            DataError: a file cannot be used.
        """
        kept = folder or _scratch()
        parts = _split(data)
        vocabulary = _learn(parts.train, data, reading)
        sources = {name: part for name, part in parts._asdict().items() if part is not None}
        tokens = {
            name: tokenize(part, vocabulary, _token_file(kept, name), _progress(name, reading))
            for name, part in sources.items()
        }
        task = cls(vocabulary, tokens, data, model)
        if folder is None:
            weakref.finalize(task, shutil.rmtree, kept, ignore_errors=True)
        for split in task.splits:
            task.lanes(split)  # a text too short is refused now, not when its turn comes
        return task

    @classmethod
    def restore(cls, folder: Path, data: Any, model: Any) -> LanguageModel:
        files = {name: _token_file(folder, name) for name in Split._fields}
        tokens = {name: open_tokens(file) for name, file in files.items() if lexists(file)}
        return cls(Vocabulary.load(folder / "tokenizer.json"), tokens, data, model)

    def with_data(self, files: Sequence[Path] = (), rows: int | None = None) -> LanguageModel:
        """The same model, with other text as "test", or read in another number of lanes."""
        lanes = {} if rows is None else {"lanes": rows, "eval_lanes": rows}
        data = LanguageData.parse({**self.data.model_dump(), **lanes})
        tokens, folder = dict(self.tokens), _scratch()
        if files:
            source = TextSource(*files, encoding=data.encoding)
            tokens["test"] = tokenize(source, self.vocabulary, folder / "test.npy")
        task = LanguageModel(self.vocabulary, tokens, data, self.model)
        weakref.finalize(task, shutil.rmtree, folder, ignore_errors=True)
        task.network = self.network
        return task

    def save(self, folder: Path) -> None:
        self.vocabulary.save(folder / "tokenizer.json")
        for name, tokens in self.tokens.items():
            file = _token_file(folder, name)
            if not file.exists():
                file.parent.mkdir(exist_ok=True)
                np.save(file, tokens)

    def build(self) -> LanguageNetwork:
        return LanguageNetwork(self.model, len(self.vocabulary))

    def lanes(self, split: str) -> Lanes:
        """A split as contiguous lanes: those of training, or of evaluation where they differ."""
        if split not in self.tokens:
            raise DataError(
                f"there is no {split} text here, only: {', '.join(self.tokens) or 'none'}; "
                "give files to measure on"
            )
        self._require_known(split)
        lanes = self.data.lanes if split == "train" else self.data.eval_lanes or self.data.lanes
        try:
            return Lanes(self.tokens[split], lanes)
        except DataError as error:
            raise DataError(f"{split} text: {error}") from None

    def _require_known(self, split: str) -> None:
        """Refuse tokens that are not in the vocabulary: they would index beyond its table."""
        if split in self._known:
            return
        tokens, size = self.tokens[split], len(self.vocabulary)
        if len(tokens) and (largest := int(tokens.max())) >= size:
            file = getattr(tokens, "filename", None) or f"the {split} text"
            raise CheckpointError(
                f"{file}: token {largest} is not in the vocabulary, which has {size:,} entries: "
                "the file is damaged or another run's; train again"
            )
        self._known.add(split)

    def batches(self, split: str, epoch: int = 0) -> Iterator[Piece]:
        lanes = self.lanes(split)
        length = self.data.length or lanes.steps
        for start in range(0, lanes.steps, length):
            yield Piece(lanes, start, min(start + length, lanes.steps))

    def loss(
        self, batch: Piece, start: int, stop: int, state: State, with_loss: bool = True
    ) -> tuple[Tensor, State]:
        inputs, targets = (t.to(self.device) for t in batch.window(start, stop))
        hidden, state = self.network.hidden(inputs.T, state)
        if not with_loss:
            return hidden, state
        output = self.network.output
        return linear_cross_entropy(
            hidden, output.weight, targets.T, output.bias, reduction="sum"
        ), state

    def initial_state(self, rows: int) -> State:
        return self.network.recurrent.initial_state(rows)

    def eval_steps(self, batch: Piece) -> int:
        return max(1, SCORES_AT_ONCE // (batch.rows * len(self.vocabulary)))

    def metrics(self, predictions: Predictions) -> Metrics:
        split, nats = predictions
        metrics = {"nats": nats, "perplexity": perplexity(nats)}
        if self.vocabulary.kind != "word":  # words do not say what was between them
            metrics["bits_per_char"] = bits_per_char(nats, self._tokens_per_char(split))
        return metrics

    def _tokens_per_char(self, split: str) -> float:
        if self.vocabulary.kind == "char":
            return 1.0
        if split not in self._ratios:
            self._require_known(split)
            tokens = self.tokens[split]
            self._ratios[split] = len(tokens) / len(self.vocabulary.decode(tokens))
        return self._ratios[split]

    def excerpt(self, rows: int, text: str | None = None) -> Excerpt:
        if text is None:
            split = "valid" if "valid" in self.tokens else self.splits[0]
            self._require_known(split)
            stream = self.tokens[split]
            steps = min(SHOWN_STEPS, len(stream) - 1)
        else:
            read, eos = self._context(text), self.vocabulary.eos
            # Every word is read, so that the last one needs a target, too: the end of the line.
            stream, steps = np.array([*read, read[-1] if eos is None else eos]), len(read)
        rows = min(rows, (len(stream) - 1) // steps)
        lanes = Lanes(stream[: rows * steps + 1], rows)
        words = [self.vocabulary.token(int(index)) for index in stream[: rows * steps]]
        of_rows = [{"": words[i : i + steps]} for i in range(0, len(words), steps)]
        return Excerpt(Piece(lanes, 0, steps), of_rows)

    def baselines(self) -> dict[str, dict[str, Metrics]]:
        """Unigram, bigram and trigram models of the same training tokens."""
        for split in self.splits:
            self._require_known(split)
        measured = {split: self.tokens[split] for split in self.splits if split != "train"}
        return ngram_baselines(self.tokens["train"], measured, len(self.vocabulary))

    def next_words(self, prompt: str, top: int = 10) -> list[tuple[str, float]]:
        """The likeliest tokens after a prompt, and their probabilities; ``<unk>`` is left out."""
        p = self._distribution(prompt)
        if self.vocabulary.unk is not None:
            p[self.vocabulary.unk] = 0
        values, indices = p.topk(min(top, len(p)))
        tokens = self.vocabulary.tokens
        return [(tokens[i], v) for i, v in zip(indices.tolist(), values.tolist(), strict=True)]

    def probability(self, prompt: str, word: str) -> float:
        """The probability of one token after a prompt.

        Raises:
            DataError: the token is not in the vocabulary.
        """
        return float(self._distribution(prompt)[self.vocabulary.index(word)])

    def rank(self, prompt: str, word: str) -> int:
        """Where one token stands among the likeliest after a prompt: 1 is the likeliest.

        ``<unk>`` is left out, as in `next_words`.

        Raises:
            DataError: the token is not in the vocabulary.
        """
        p, index = self._distribution(prompt), self.vocabulary.index(word)
        likelier = p > p[index]
        if self.vocabulary.unk is not None:
            likelier[self.vocabulary.unk] = False
        return 1 + int(likelier.count_nonzero())

    def frequency(self, word: str) -> float:
        """The share of the training tokens that are this one."""
        tokens = self.tokens["train"]
        return float(np.count_nonzero(tokens == self.vocabulary.index(word)) / len(tokens))

    def generate(
        self,
        prompt: str = "",
        length: int = 100,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        seed: int = 0,
    ) -> str:
        """Continue a prompt: the prompt's text and ``length`` tokens more, never ``<unk>``.

        Args:
            prompt: text to continue; may be empty where the vocabulary has ``<eos>``.
            length: tokens to add.
            temperature: below 1 favors likely tokens, 0 takes the likeliest.
            top_k: choose from so many likeliest tokens.
            seed: the same seed gives the same text.
        """
        context = self._context(prompt)
        drawn = self._drawn(context, length, temperature, top_k, seed)
        prefix = context[1:] if self.vocabulary.eos is not None else context
        return self.vocabulary.decode([*prefix, *drawn])

    def generated(self, options: LanguageAsked, folder: Path) -> Iterator[dict[str, Any]]:
        for prompt in options.prompt or [""]:
            how = options.model_dump(include={"length", "temperature", "top_k", "seed"})
            text = self.generate(prompt, **how)
            unknown = self.vocabulary.unknown(prompt)
            yield {"prompt": prompt, "text": text, "seed": options.seed, "unknown": unknown}

    @torch.no_grad()
    def _drawn(
        self, context: list[int], length: int, temperature: float, top_k: int | None, seed: int
    ) -> list[int]:
        scores, state = self._read(context)
        unknown = self.vocabulary.unk
        drawn = sample(
            self.network.step,
            scores,
            state,
            length=length,
            temperature=temperature,
            top_k=top_k,
            forbidden=() if unknown is None else (unknown,),
            generator=torch.Generator(self.device).manual_seed(seed),
        )
        return list(_counted(drawn, length))

    @torch.no_grad()
    def _distribution(self, prompt: str) -> Tensor:
        return self._read(self._context(prompt))[0][0].double().softmax(-1)

    def _read(self, context: list[int]) -> tuple[Tensor, State]:
        """The scores (1, V) after the context, and the state."""
        self.network.eval()
        tokens = torch.tensor([context], device=self.device)
        hidden, state = self.network.hidden(tokens.T, None)
        return self.network.output(hidden[-1]), state

    def _context(self, prompt: str) -> list[int]:
        """The prompt's tokens, after an <eos> where the vocabulary has it: a new line begins."""
        begin = [] if self.vocabulary.eos is None else [self.vocabulary.eos]
        context = begin + self.vocabulary.encode(prompt)
        if not context:
            raise DataError("the prompt is empty: give the text to go on from")
        return context


def _counted(drawn: Iterator[int], length: int) -> Iterator[int]:
    """What is drawn; where that takes long, how far it is."""
    reported = time.monotonic()
    for count, token in enumerate(drawn, 1):
        yield token
        if count % 1000 == 0 and time.monotonic() - reported > SILENCE:
            reported = time.monotonic()
            log.info("generated %s of %s tokens", f"{count:,}", f"{length:,}")


def _split(data: LanguageData) -> Split:
    """The three parts of the text: their own files, or split off the training text."""
    whole = by_name(data.name) if data.name else TextSource(*data.train, encoding=data.encoding)
    source = whole.head(data.lines) if data.lines else whole
    valid, test = (
        TextSource(*paths, encoding=data.encoding) if paths else None
        for paths in (data.valid, data.test)
    )
    parts = source.split(0 if valid else data.valid_share, 0 if test else data.test_share)
    return Split(parts.train, valid or parts.valid, test or parts.test)


def _scratch() -> Path:
    return Path(tempfile.mkdtemp(prefix="elman-"))


def _learn(source: Source, data: LanguageData, reading: Reading | None) -> Vocabulary:
    try:
        return Vocabulary.train(
            _metered(source, "vocabulary", reading),
            data.level,
            min_count=data.min_count,
            max_size=data.vocabulary,
            eos=data.eos,
            lowercase=bool(data.lowercase),
            punctuation=bool(data.punctuation),
        )
    except DataError as error:
        if source.name in str(error):
            raise
        raise DataError(f"{source.name}: {error}") from None


def _token_file(folder: Path, split: str) -> Path:
    return folder / "tokens" / f"{split}.npy"


def _progress(what: str, reading: Reading | None) -> Any:
    return None if reading is None else partial(reading, what)


def _metered(source: Source, what: str, reading: Reading | None) -> Iterator[str]:
    return source.lines(_progress(what, reading))
