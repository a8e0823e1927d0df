"""Lesson 10: from words to indices, to vectors, to the next word."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field, field_validator

from elman.lab._lesson import Ask, Lesson

__all__ = ["LESSON"]

if TYPE_CHECKING:
    from torch import Tensor

    from elman.tasks import LanguageModel

RUN = Path(__file__).parent / "run"
"""A run folder without its tokens; ``scripts/lab_weights`` has the command that made it."""

PROMPT = "This morning I took my cat for a"
MOST_WORDS, NEIGHBORS = 30, 12


class Sentence(BaseModel, extra="forbid", allow_inf_nan=False):
    """The beginning of a sentence."""

    text: str = Field(PROMPT, min_length=1, max_length=200)
    temperature: float = Field(1.0, ge=0.1, le=3)

    @field_validator("text")
    @classmethod
    def _not_too_long(cls, text: str) -> str:
        words = len(text.split())
        if not 1 <= words <= MOST_WORDS:
            raise ValueError(f"text must have 1 to {MOST_WORDS} words, got {words}")
        return text


class Next(Sentence):
    """The beginning of a sentence, and a word whose chance is to be seen."""

    target: str = Field("walk", min_length=1, max_length=30)
    top: int = Field(10, ge=1, le=20)


class Write(Sentence):
    """The beginning of a text that is continued word by word."""

    length: int = Field(30, ge=1, le=60)
    seed: int = Field(0, ge=0, le=2**31 - 1)


class Near(BaseModel, extra="forbid"):
    """A word whose neighbors are to be seen."""

    word: str = Field("cat", min_length=1, max_length=30)


@lru_cache(maxsize=1)
def model() -> LanguageModel:
    """The language model of the lesson, loaded as any run is."""
    import elman

    loaded: LanguageModel = elman.load(RUN)
    return loaded


@lru_cache(maxsize=1)
def counts() -> Tensor:
    """How often each token of the vocabulary stands in the training text."""
    from safetensors.torch import load_file

    return load_file(RUN / "counts.safetensors")["counts"]


def predict(settings: Next) -> Iterator[dict[str, object]]:
    """The tokens and their indices, the likeliest next words, and one word's rank and lift."""
    words, chances = distribution(settings.text, settings.temperature)
    vocabulary = model().vocabulary
    indices = vocabulary.encode(settings.text)
    top = settings.top
    yield {
        "event": "next",
        "tokens": [vocabulary.token(index) for index in indices],
        "indices": indices,
        "unknown": vocabulary.unknown(settings.text),
        "vocabulary": len(vocabulary),
        "words": words[:top],
        "chances": chances[:top].tolist(),
        "entropy": float(-(chances * chances.clamp_min(1e-300).log()).sum()),
        **_of(settings.target.strip().lower(), words, chances),
    }


def distribution(text: str, temperature: float) -> tuple[list[str], Tensor]:
    r"""All words after a text, the likeliest first, and their chances p^{1/T} / \sum p^{1/T}."""
    import torch

    pairs = model().next_words(text, top=len(model().vocabulary))
    words = [word for word, _ in pairs if word != "<unk>"]
    p = torch.tensor([p for word, p in pairs if word != "<unk>"], dtype=torch.float64)
    return words, (p.clamp_min(1e-300).log() / temperature).softmax(-1)


def _of(target: str, words: list[str], chances: Tensor) -> dict[str, object]:
    """Rank and chance of a word; and its lift, how much likelier it is here than on the whole."""
    if target not in words:
        return {"target": target, "rank": None, "chance": None, "share": None, "lift": None}
    place = words.index(target)
    share = float(counts()[model().vocabulary.index(target)] / counts().sum())
    chance = float(chances[place])
    lift = chance / share if share else None
    return {"target": target, "rank": place + 1, "chance": chance, "share": share, "lift": lift}


def write(settings: Write) -> Iterator[dict[str, object]]:
    """The text, and so many words more, drawn at that temperature."""
    text = model().generate(
        settings.text,
        settings.length,
        temperature=settings.temperature,
        seed=settings.seed,
    )
    yield {"event": "written", "text": text}


def near(settings: Near) -> Iterator[dict[str, object]]:
    """The nearest vectors of a word by their cosine, and where they lie on two main axes."""
    from torch.nn import functional as F

    vocabulary, word = model().vocabulary, settings.word.strip().lower()
    unknown = word not in vocabulary.tokens
    index = vocabulary.index("<unk>" if unknown else word)
    vectors = vectors_of(model())
    cosine = F.cosine_similarity(vectors, vectors[index : index + 1])
    chosen = cosine.topk(NEIGHBORS + 1).indices
    places = _main_axes(vectors)[chosen]
    yield {
        "event": "near",
        "word": vocabulary.token(index),
        "unknown": unknown,
        "index": index,
        "vector": vectors[index][:8].tolist(),
        "size": vectors.shape[1],
        "words": [vocabulary.token(each) for each in chosen.tolist()],
        "cosine": cosine[chosen].tolist(),
        "places": places.tolist(),
        "count": int(counts()[index]),
    }


def vectors_of(task: Any) -> Tensor:
    """The vectors of all words (V, size), float64."""
    vectors: Tensor = task.network.embedding.weight.detach().double()
    return vectors


def _main_axes(vectors: Tensor) -> Tensor:
    """The vectors of all words on the two axes along which they vary most, (V, 2)."""
    import torch

    centered = vectors - vectors.mean(0)
    _, axes = torch.linalg.eigh(centered.T @ centered)
    axes = axes[:, -2:].flip(-1)
    sign = torch.where(axes.abs().max(0).values == axes.max(0).values, 1.0, -1.0)
    places: Tensor = centered @ (axes * sign)
    return places


SENTENCES = (
    PROMPT,
    "This morning I took my dog for a",
    "He likes to",
    "She could not",
    "The movie was not",
    "This morning I took my iguana for a",
)
"""Beginnings that an export has."""

WORDS = ("cat", "dog", "morning", "walk", "good", "bad", "three", "she", "actor")

LESSON = Lesson(
    slug="words",
    number=10,
    title="Vocabulary, embedding, next word",
    minutes=6,
    question='"This morning I took my cat for a": how high does "walk" rank?',
    asks=(
        Ask(
            "words.next",
            Next,
            predict,
            tuple(
                {"text": text, "temperature": temperature}
                for text in SENTENCES
                for temperature in (0.5, 1.0, 2.0)
            ),
        ),
        Ask("words.near", Near, near, tuple({"word": word} for word in WORDS)),
        Ask(
            "words.write",
            Write,
            write,
            tuple(
                {"text": text, "temperature": temperature}
                for text in SENTENCES
                for temperature in (0.5, 1.0, 2.0)
            ),
        ),
    ),
)


def __dir__() -> list[str]:
    return sorted(__all__)
