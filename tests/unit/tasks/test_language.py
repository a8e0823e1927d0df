from __future__ import annotations

import gc
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from elman._errors import DataError
from elman.data import Vocabulary
from elman.tasks import LanguageData, LanguageModel, LanguageNet

TEXT = "".join(f"the {noun} sat on the mat\n" for noun in ["cat", "dog", "cow", "hen"] * 15)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    (tmp_path / "text.txt").write_text(TEXT)
    return tmp_path / "text.txt"


def prepared(text: Path, model: dict[str, Any] | None = None, **data: Any) -> LanguageModel:
    torch.manual_seed(0)
    values = {"train": [text], "lanes": 3, **data}
    net = LanguageNet.parse({"hidden": 6, "init_range": 0.5, **(model or {})})
    task = LanguageModel.prepare(LanguageData.parse(values), net)
    task.network = task.build()
    return task


def test_the_text_is_split_and_encoded(text: Path) -> None:
    task = prepared(text)
    assert task.splits == ("train", "valid", "test")
    assert [len(task.tokens[split]) for split in task.splits] == [54 * 7, 3 * 7, 3 * 7]
    whole = "".join(task.vocabulary.decode(task.tokens[split]) for split in task.splits)
    assert whole == TEXT


def test_files_for_validation_and_test_are_taken_as_they_are(text: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("the cat sat\n" * 5)
    task = prepared(text, valid=[other], test_share=0)
    assert task.splits == ("train", "valid")
    assert len(task.tokens["train"]) == 60 * 7
    assert task.vocabulary.decode(task.tokens["valid"]) == "the cat sat\n" * 5


def test_only_so_many_lines_are_read(text: Path) -> None:
    task = prepared(text, lines=40)
    read = "".join(task.vocabulary.decode(task.tokens[split]) for split in task.splits)
    assert read == "".join(TEXT.splitlines(keepends=True)[:40])


def test_the_vocabulary_is_the_training_texts(text: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("the zebra sat\n" * 5)
    task = prepared(text, valid=[other], test=[other])
    assert "zebra" not in task.vocabulary
    assert int(task.tokens["valid"][1]) == task.vocabulary.unk


def test_batches_are_pieces_of_the_lanes(text: Path) -> None:
    whole = prepared(text)
    (batch,) = whole.batches("train")
    assert (batch.rows, batch.steps, batch.continues) == (3, (54 * 7 - 1) // 3, False)
    pieces = list(prepared(text, length=50).batches("train"))
    assert [piece.steps for piece in pieces] == [50, 50, 25]
    assert [piece.continues for piece in pieces] == [False, True, True]
    assert torch.equal(pieces[1].window(2, 9)[0], batch.window(52, 59)[0])
    assert pieces[1].count(2, 9) == 3 * 7


def test_evaluation_reads_its_own_number_of_lanes(text: Path) -> None:
    task = prepared(text, eval_lanes=1)
    assert [task.lanes(split).lanes for split in task.splits] == [3, 1, 1]


def test_the_loss_is_the_sum_of_cross_entropies(text: Path) -> None:
    task = prepared(text)
    (batch,) = task.batches("train")
    inputs, targets = batch.window(0, 9)
    scores, _ = task.network(inputs)
    expected = F.cross_entropy(scores.flatten(0, 1), targets.flatten(), reduction="sum")
    loss, state = task.loss(batch, 0, 9, None)
    torch.testing.assert_close(loss, expected)
    first, state = task.loss(batch, 0, 5, None)
    second, _ = task.loss(batch, 5, 9, state)
    torch.testing.assert_close(first + second, expected)


def test_without_a_loss_no_scores_are_computed(text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = prepared(text)
    (batch,) = task.batches("train")
    _, expected = task.loss(batch, 0, 5, None)
    monkeypatch.setattr(task.network.output, "forward", None)
    _, state = task.loss(batch, 0, 5, None, with_loss=False)
    torch.testing.assert_close(state, expected)


def test_evaluation_is_the_mean_over_the_lanes(text: Path) -> None:
    task = prepared(text, eval_lanes=1)
    tokens = torch.from_numpy(np.array(task.tokens["test"], dtype=np.int64))
    scores, _ = task.network(tokens[None, :-1])
    expected = F.cross_entropy(scores[0], tokens[1:]).item()
    metrics = task.evaluate("test")
    assert metrics["nats"] == pytest.approx(expected, rel=1e-6)
    assert metrics["perplexity"] == pytest.approx(math.exp(expected), rel=1e-6)
    assert "bits_per_char" not in metrics


def test_evaluation_is_the_same_however_much_is_read_at_once(
    text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = prepared(text)
    whole = task.evaluate("train")["nats"]
    monkeypatch.setattr("elman.tasks._language.SCORES_AT_ONCE", 1)
    assert task.evaluate("train")["nats"] == pytest.approx(whole, rel=1e-6)


@pytest.mark.parametrize(("level", "eos"), [("char", True), ("char", False), ("bpe", False)])
def test_bits_per_character(text: Path, level: str, eos: bool) -> None:
    task = prepared(text, level=level, eos=eos)
    metrics = task.evaluate("valid")
    characters = len(task.vocabulary.decode(task.tokens["valid"]))
    bits = metrics["nats"] / math.log(2) * len(task.tokens["valid"]) / characters
    assert metrics["bits_per_char"] == pytest.approx(bits)


def test_next_words_are_sorted_probabilities_without_unk(text: Path) -> None:
    task = prepared(text)
    words = task.next_words("the cat", top=99)
    assert [p for _, p in words] == sorted((p for _, p in words), reverse=True)
    assert "<unk>" not in [word for word, _ in words[:-1]]
    unknown = task.probability("the cat", "<unk>")
    assert sum(p for _, p in words) == pytest.approx(1 - unknown)
    assert task.probability("the cat", words[0][0]) == pytest.approx(words[0][1])
    assert len(task.next_words("the cat", top=2)) == 2


def test_a_rank_is_the_place_among_the_next_words(text: Path) -> None:
    task = prepared(text)
    task.network.output.bias.data[task.vocabulary.unk] = 9.0  # the likeliest, and left out
    words = [word for word, _ in task.next_words("the cat", top=99) if word != "<unk>"]
    assert [task.rank("the cat", word) for word in words] == [*range(1, len(words) + 1)]


def test_prediction_has_no_dropout_and_begins_with_a_new_line(text: Path) -> None:
    task = prepared(text, {"dropout": 0.5})
    task.network.train()
    assert task.next_words("the") == task.next_words("the")
    eos, the = task.vocabulary.eos, task.vocabulary.index("the")
    scores, _ = task.network(torch.tensor([[eos, the]]))
    p = scores[0, -1].softmax(-1)[task.vocabulary.index("cat")].item()
    assert task.probability("the", "cat") == pytest.approx(p)


def test_unknown_words_to_ask_for(text: Path) -> None:
    task = prepared(text)
    with pytest.raises(DataError, match="'zebra' is not"):
        task.probability("the", "zebra")
    with pytest.raises(DataError, match="zebra"):
        task.frequency("zebra")
    with pytest.raises(DataError, match="zebra"):
        task.rank("the", "zebra")


def test_frequency_is_the_share_of_training_tokens(text: Path) -> None:
    assert prepared(text).frequency("the") == pytest.approx(2 / 7)


def test_generation_continues_the_prompt(text: Path) -> None:
    task = prepared(text)
    said = task.generate("the cat", length=5, seed=1)
    assert said.startswith("the cat")
    assert task.generate("the cat", length=5, seed=1) == said
    assert {task.generate("the cat", 20, seed=seed) for seed in range(5)} != {said}
    assert task.generate("the cat", length=0) == "the cat"
    greedy = task.generate("the cat", length=3, temperature=0)
    word = task.next_words("the cat", top=1)[0][0]
    assert task.vocabulary.encode(greedy)[2] == task.vocabulary.index(word)
    assert "<unk>" not in task.generate("", length=300, temperature=5.0)


def test_without_eos_a_prompt_is_needed(text: Path) -> None:
    task = prepared(text, eos=False, level="char")
    with pytest.raises(DataError, match="prompt is empty"):
        task.generate("")
    assert task.generate("the", length=4).startswith("the")


def test_save_and_restore(text: Path, tmp_path: Path) -> None:
    task = prepared(text)
    task.save(tmp_path)
    back = LanguageModel.restore(tmp_path, task.data, task.model)
    assert back.vocabulary.tokens == task.vocabulary.tokens
    assert back.splits == task.splits
    assert all(np.array_equal(back.tokens[split], task.tokens[split]) for split in task.splits)


def test_on_other_files_and_lanes(text: Path, tmp_path: Path) -> None:
    task = prepared(text)
    other = tmp_path / "other.txt"
    other.write_text("the cat sat\n" * 5)
    moved = task.with_data([other], rows=2)
    assert moved.lanes("test").lanes == 2
    assert moved.vocabulary.decode(moved.tokens["test"]) == "the cat sat\n" * 5
    assert moved.network is task.network
    assert task.lanes("test").lanes == 3
    task.data = task.data.model_copy(update={"eval_lanes": 1})
    assert task.with_data().lanes("valid").lanes == 1


def test_temporary_token_files_go_with_the_task(text: Path) -> None:
    task = prepared(text)
    folder = Path(task.tokens["train"].filename).parent
    assert folder.exists()
    del task
    gc.collect()
    assert not folder.exists()


def test_baselines_are_of_the_same_tokens(text: Path) -> None:
    baselines = prepared(text).baselines()
    assert set(baselines) == {"unigram", "bigram", "trigram"}
    assert set(baselines["bigram"]) == {"valid", "test"}


def test_a_vocabulary_that_a_task_is_made_with() -> None:
    vocabulary = Vocabulary.train(["a b c", "b c d"])
    tokens = {"train": np.array(vocabulary.encode("a b c d a b c d"), dtype=np.uint16)}
    task = LanguageModel(vocabulary, tokens, LanguageData(lanes=1), LanguageNet(hidden=3))
    assert task.splits == ("train",)
    with pytest.raises(DataError, match="no valid text"):
        list(task.batches("valid"))
