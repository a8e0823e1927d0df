"""Lessons 7 to 12: what their stages ask is answered by elman's own cells and measures."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch
from pydantic import ValidationError

import elman
from elman.lab._lesson import FOLDER, Ask, Lesson, lesson, read_text

SLUGS = ("gates", "order", "race", "words", "music", "limits")
LATER = [lesson(slug) for slug in SLUGS]
ASKS = [ask for each in LATER for ask in each.asks]


def ask_of(name: str) -> Ask:
    return next(ask for ask in ASKS if ask.name == name)


def events(name: str, **settings: Any) -> list[dict[str, Any]]:
    ask = ask_of(name)
    return [dict(event) for event in ask.answer(ask.settings(**settings))]


def answer(name: str, **settings: Any) -> dict[str, Any]:
    [event] = events(name, **settings)
    return event


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for each in value:
            yield from numbers(each)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value


def require_sendable(event: dict[str, Any]) -> None:
    """JSON of finite numbers, at most 256 in one event."""
    json.dumps(event, allow_nan=False)
    assert isinstance(event["event"], str)
    assert len(list(numbers(event))) <= 256


@pytest.mark.parametrize("each", LATER, ids=SLUGS)
def test_a_lesson_is_whole(each: Lesson) -> None:
    text = read_text(each.slug)
    assert text.title == each.title
    assert len(text.predict.choices) >= 3
    assert (FOLDER / each.slug / "stage.js").is_file()
    for ask in each.asks:
        assert ask.name.startswith(f"{each.slug}.")
        ask.settings()  # every setting has a default
        for recorded in ask.recorded:
            ask.settings(**recorded)


@pytest.mark.parametrize("slug", SLUGS)
def test_the_python_of_a_lesson_runs(slug: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = read_text(slug).python
    assert len([line for line in code.splitlines() if line.strip()]) <= 9
    exec(compile(code, f"{slug}/lesson.md", "exec"), {})  # noqa: S102 - our own text
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("ask", ASKS, ids=lambda ask: ask.name)
def test_settings_that_are_unknown_are_refused(ask: Ask) -> None:
    with pytest.raises(ValidationError, match="unheard"):
        ask.settings(unheard=1)


# Lesson 7: gates


def test_the_tank_is_the_cell_by_hand() -> None:
    digits = {"forget": "98765432109876543210", "store": "01234567890123456789"}
    digits |= {"value": "9a8b7c6d5e4f3g2h1i09", "output": "5" * 20}
    event = answer("gates.tank", **digits)
    require_sendable(event)
    gates, c = event["gates"], 0.0
    for t in range(20):
        c = gates["forget"][t] * c + gates["store"][t] * gates["value"][t]
        assert event["c"][t] == pytest.approx(c, abs=1e-5)
        assert event["h"][t] == pytest.approx(gates["output"][t] * math.tanh(c), abs=1e-5)
    assert gates["output"][0] == pytest.approx(5 / 9, abs=1e-5)
    assert gates["value"][1] == pytest.approx(-1 / 9, abs=1e-5)


def test_the_gradient_of_the_tank_is_the_product_of_its_forget_gates() -> None:
    event = answer("gates.tank", forget="9" * 10 + "6" * 10, output="9" * 20)
    forget, gradient = event["gates"]["forget"], event["gradient"]
    for t in range(19):
        assert gradient[t] == pytest.approx(forget[t + 1] * gradient[t + 1], rel=1e-3)


def test_a_gru_has_the_tied_gates_and_no_tank() -> None:
    settings = {"forget": "9" * 5 + "3" * 15, "value": "9" * 20}
    tied, gru = (answer("gates.tank", cell=cell, **settings) for cell in ("tied", "gru"))
    assert tied["gates"]["store"] == pytest.approx([1 - f for f in tied["gates"]["forget"]])
    assert gru["h"] == gru["c"] == pytest.approx(tied["c"], abs=1e-5)


@pytest.mark.parametrize("bias", [-2.0, 1.0, 5.0])
def test_the_half_life_is_that_of_the_formula(bias: float) -> None:
    event = answer("gates.half_life", bias=bias, steps=40)
    require_sendable(event)
    assert event["half_life_measured"] == pytest.approx(event["half_life_formula"], rel=0.01)
    assert event["half_life_formula"] == pytest.approx(
        math.log(2) / math.log1p(math.exp(-bias)), rel=1e-6
    )
    other = answer("gates.half_life", bias=bias, steps=40, scale=1.0)
    assert other["measured"] != event["measured"]
    assert other == answer("gates.half_life", bias=bias, steps=40, scale=1.0)


@pytest.mark.parametrize(
    "settings",
    [
        {"forget": "9" * 19},
        {"store": "x" * 20},
        {"value": "j" * 20},
        {"cell": "elman"},
    ],
)
def test_a_pattern_that_the_tank_cannot_have_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ask_of("gates.tank").settings(**settings)


@pytest.mark.parametrize("bias", [-4.1, 8.1, math.nan, math.inf])
def test_a_bias_out_of_bounds_is_refused(bias: float) -> None:
    with pytest.raises(ValidationError):
        ask_of("gates.half_life").settings(bias=bias)


def test_the_patterns_of_the_stage_are_those_that_an_export_has() -> None:
    from elman.lab.lessons.gates import PATTERNS

    stage = (FOLDER / "gates" / "stage.js").read_text(encoding="utf-8")
    block = stage[stage.index("const PATTERNS") : stage.index("const BUTTONS")]
    for name, pattern in PATTERNS.items():
        [line] = re.findall(rf"  {name}: \{{(.*)\}}", block)
        assert {"value": "9" * 20} | dict(pattern) == dict(_digits(line)), name


def _digits(line: str) -> Iterator[tuple[str, str]]:
    """What the JavaScript of a pattern means."""
    for name, call in re.findall(
        r'(\w+): (only\(.*?\)(?:\))?|"\d"\.repeat\(STEPS\))(?:,|\s)', line
    ):
        if repeated := re.fullmatch(r'"(\d)"\.repeat\(STEPS\)', call):
            yield name, repeated[1] * 20
            continue
        inner = call.removeprefix("only(").removesuffix(")").replace("MARK", "18")
        inner = inner.replace("all()", str(list(range(1, 21))))
        steps, *digits = json.loads(f"[{inner}]")
        digit, other = (*digits, "9", "0")[:2] if digits else ("9", "0")
        yield name, "".join(digit if step in steps else other for step in range(1, 21))


# Lesson 8: order


def test_order_decides_for_the_network_and_not_for_the_bag() -> None:
    from elman.lab.lessons.order import PAIR

    good, bad = (answer("order.read", text=text) for text in PAIR)
    require_sendable(good)
    assert sorted(good["tokens"]) == sorted(bad["tokens"])
    assert good["bag"] == bad["bag"]
    assert good["network"] > 0.9
    assert bad["network"] < 0.1
    learned = answer("order.train")
    require_sendable(learned)
    assert learned["accuracy"]["network"] > 0.95
    assert learned["accuracy"]["bag"] < 0.6


def test_what_the_network_thinks_is_what_its_layer_and_output_give() -> None:
    from elman.lab.lessons.order._reader import trained

    event = answer("order.read", text="the soup was not cold")
    models = trained("gru", 0)
    tokens = torch.tensor([models.vocabulary.encode("the soup was not cold")])
    score = models.network(tokens, torch.tensor([5])).detach()
    assert event["network"] == pytest.approx(float(score.sigmoid()), abs=1e-6)
    assert event["after"][-1] == event["network"]
    assert sum(event["weights"]) + models.bag.bias.item() == pytest.approx(
        math.log(event["bag"] / (1 - event["bag"])), abs=1e-4
    )


def test_no_pair_of_the_test_is_learned() -> None:
    from elman.lab.lessons.order._sentences import BAD, GOOD, drawn, is_held_out

    def pairs(held_out: bool) -> set[tuple[str, str]]:
        found = set()
        for text, _ in drawn(300, 0, held_out=held_out):
            words = text.split()
            good, bad = [w for w in words if w in GOOD], [w for w in words if w in BAD]
            found |= {(good[0], bad[0])} if good and bad else set()
        return found

    assert pairs(True)
    assert not pairs(True) & pairs(False)
    assert all(is_held_out(*pair) for pair in pairs(True))


@pytest.mark.parametrize("padding", ["0", "1000", "nan"])
def test_what_stands_in_the_padding_moves_nothing(padding: str) -> None:
    event = answer("order.padding", padding=padding)
    require_sendable(event)
    assert event["same"]
    assert max(event["moved"]) < 1e-6
    assert event["norms"][0][4:] == [0] * 5
    told_nothing = answer("order.padding", padding=padding, lengths=False)
    require_sendable(told_nothing)
    assert told_nothing["moved"][0] is None or told_nothing["moved"][0] > 1e-3
    assert told_nothing["same"] == (padding == "0")


@pytest.mark.parametrize("text", ["", " " * 5, "word " * 31, "x" * 201])
def test_a_sentence_of_no_or_too_many_words_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="text"):
        ask_of("order.read").settings(text=text)


def test_an_unknown_word_is_named() -> None:
    assert answer("order.read", text="The pizza was good.")["unknown"] == ["pizza"]


# Lesson 9: race


def test_three_of_equal_size_race_and_the_same_seed_gives_the_same_race() -> None:
    settings = {"task": "echo", "distance": 2, "updates": 40, "units": 8}
    race = events("race.run", **settings)
    start, *laps, result = race
    for event in race:
        require_sendable(event)
    assert start["parameters"]["gru"] == 8 * 3 * (8 + 2 + 2) + 2 * (8 + 1)
    for cell in ("rnn", "lstm"):
        assert start["parameters"][cell] == pytest.approx(start["parameters"]["gru"], rel=0.1)
    assert [lap["update"] for lap in laps] == list(range(2, 42, 2))
    assert result["final"] == laps[-1]["scores"]
    assert result["winner"] in ("rnn", "lstm", "gru")
    assert events("race.run", **settings) == race
    assert events("race.run", **settings, seed=1)[1:] != race[1:]


@pytest.mark.parametrize("task", ["recall", "adding", "parity"])
def test_every_task_can_be_raced(task: str) -> None:
    start, lap, *_ = events("race.run", task=task, distance=1, updates=40, units=4)
    assert set(lap["scores"]) == {"rnn", "lstm", "gru"}
    assert start["measure"] == ("mean squared error" if task == "adding" else "accuracy")


def test_the_winner_is_first_at_the_post_or_best_at_the_end() -> None:
    from elman.lab.lessons.race._lanes import result

    laps = [(1, {"a": 0.5, "b": 0.6}), (2, {"a": 0.96, "b": 0.7}), (3, {"a": 0.9, "b": 0.99})]
    assert result(laps, smaller_is_better=False)["winner"] == "a"
    assert result(laps[:1], smaller_is_better=False)["winner"] == "b"
    assert result(laps, smaller_is_better=True)["winner"] == "a"  # nobody is below 0.02


@pytest.mark.parametrize(
    "settings", [{"updates": 401}, {"distance": 11}, {"units": 33}, {"rate": math.nan}]
)
def test_a_race_that_would_take_too_long_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ask_of("race.run").settings(**settings)


# Lesson 10: words


def test_the_next_words_are_those_of_the_model() -> None:
    from elman.lab.lessons.words import PROMPT, model

    event = answer("words.next")
    require_sendable(event)
    expected = model().next_words(PROMPT, top=10)
    known = 1 - model().probability(PROMPT, "<unk>")
    assert event["words"] == [word for word, _ in expected]
    assert event["chances"] == pytest.approx([p / known for _, p in expected], rel=1e-4)
    everything = [word for word, _ in model().next_words(PROMPT, top=2500) if word != "<unk>"]
    assert event["rank"] == everything.index("walk") + 1
    assert event["lift"] == pytest.approx(event["chance"] / event["share"])
    assert 1 < event["lift"] < 3  # what the lesson says of it
    likelier = answer("words.next", text="He likes to")
    assert likelier["chance"] > 10 * event["chance"]  # what "Show me" shows


def test_temperature_sharpens_and_flattens() -> None:
    cold, usual, hot = (answer("words.next", temperature=t) for t in (0.5, 1.0, 2.0))
    assert cold["words"] == usual["words"] == hot["words"]
    assert cold["entropy"] < usual["entropy"] < hot["entropy"]
    ratio = usual["chances"][0] / usual["chances"][1]
    assert hot["chances"][0] / hot["chances"][1] == pytest.approx(ratio**0.5, rel=1e-3)


def test_neighbors_are_by_the_cosine_of_the_vectors() -> None:
    from elman.lab.lessons.words import model, vectors_of

    event = answer("words.near", word="good")
    require_sendable(event)
    vectors, index = vectors_of(model()), model().vocabulary.index
    one, other = vectors[index("good")], vectors[index(event["words"][1])]
    assert event["words"][0] == "good"
    assert event["cosine"][1] == pytest.approx(float(one @ other / one.norm() / other.norm()))
    assert event["cosine"] == sorted(event["cosine"], reverse=True)
    assert answer("words.near", word="iguana")["unknown"]


def test_a_text_goes_on_as_the_model_generates_it() -> None:
    one, same, other = (answer("words.write", length=8, seed=seed) for seed in (0, 0, 1))
    assert one == same != other
    assert one["text"].lower().startswith("this morning i took my cat for a")


# Lesson 11: music


def test_music_is_what_the_task_composes() -> None:
    from elman.lab.lessons.music import model, pieces

    played = events("music.compose", frames=16, seed=3, temperature=0.7)
    for event in played:
        require_sendable(event)
    keys = [frame for event in played[:-1] for frame in event["keys"]]
    prime = pieces()[0][1:9].to(torch.uint8).numpy()
    expected = model().compose(16, prime, temperature=0.7, seed=3)
    assert keys == [frame.nonzero()[0].tolist() for frame in expected]
    assert [event["start"] for event in played[:-1]] == [0, 8, 16]


def test_loud_music_is_sent_in_pieces() -> None:
    for event in events("music.compose", frames=32, temperature=2.0):
        require_sendable(event)


def test_a_memory_as_long_as_the_piece_is_all_of_it() -> None:
    from elman.lab.lessons.music import model, pieces, surprise

    short = [piece[:40] for piece in pieces()[:2]]
    assert surprise(short, 40) == pytest.approx(surprise(short, None), rel=1e-4)
    assert surprise(short, 1) > surprise(short, None)
    every = [model().frames(model().parts["test"]).nll[0][1:]]
    whole = torch.cat(every).mean()
    assert surprise(pieces()[:1], None) == pytest.approx(float(whole), rel=1e-4)


def test_a_scale_is_found() -> None:
    from elman.lab.lessons.music import measured

    roll = torch.zeros(8, 88)
    for frame, tone in enumerate((62, 64, 66, 67, 69, 71, 73, 74)):  # D major
        roll[frame, tone - 21] = 1
    assert measured(roll) == {
        "notes": 1.0, "in_scale": 1.0, "scale": "D", "chords": 8, "held": 0.0,
    }  # fmt: skip
    assert measured(torch.zeros(4, 88))["in_scale"] == 0


# Lesson 12: limits


def test_attention_cures_the_bottleneck() -> None:
    event = answer("limits.bottleneck")
    require_sendable(event)
    none, attention = event["errors"]["none"], event["errors"]["attention"]
    assert event["lengths"] == list(range(3, 15))
    assert sum(none[-4:]) > 2 * sum(attention[-4:])
    assert none[-1] > none[0] + 0.2
    assert event["cured"]


def test_a_word_is_said_and_looked_at() -> None:
    said, *rows = events("limits.say", word="Walk")
    assert said["word"] == "walk"
    assert len(rows) == len(said["phonemes"])
    for row in rows:
        require_sendable(row)
        assert len(row["weights"]) == len(said["letters"])
        assert sum(row["weights"]) == pytest.approx(1, abs=1e-4)
    assert " ".join(said["phonemes"]).startswith(said["said"]["attention"])


@pytest.mark.parametrize("word", ["", "two words", "x" * 21, "naïve", "<b>"])
def test_what_cannot_be_spelled_is_refused(word: str) -> None:
    with pytest.raises(ValidationError):
        ask_of("limits.say").settings(word=word)


def test_horizons_are_those_of_the_gradient_flow() -> None:
    from elman.inspection import gradient_flow

    event = answer("limits.horizon", cell="lstm", steps=60, seed=5)
    require_sendable(event)
    torch.manual_seed(5)
    layer = elman.Recurrent(elman.cells.LSTM(8, 32), engine="reference")
    x = torch.randn(4, 60, 8)
    flow = gradient_flow(layer, x, loss=lambda output: output[:, -1].square().sum())
    assert event["horizon"] == int(flow.states["c"].horizon(0.01).value[0])
    assert event["fall"] == pytest.approx(flow.states["c"].fall(0).tolist())
    assert answer("limits.horizon", cell="chrono", steps=60)["horizon"] is None


@pytest.mark.parametrize("cell", ["rnn", "gru", "irnn", "cornn", "lru", "linoss"])
def test_every_cell_has_a_memory_to_measure(cell: str) -> None:
    event = answer("limits.horizon", cell=cell, steps=20, hidden=8)
    require_sendable(event)
    assert event["fall"][0] == 1


@pytest.mark.slow
def test_times_come_for_every_length() -> None:
    timed = events("limits.speed", hidden=8)
    for event in timed:
        require_sendable(event)
    assert [event["steps"] for event in timed] == [32, 64, 128, 256, 512, 1024]
    assert all(time is None or time > 0 for event in timed for time in event["times"].values())


# What is shipped


@pytest.mark.parametrize("slug", SLUGS)
def test_what_a_lesson_ships_is_small(slug: str) -> None:
    files = [f for f in (FOLDER / slug).rglob("*") if f.is_file() and "__pycache__" not in f.parts]
    assert sum(file.stat().st_size for file in files) < 1_000_000
    assert not [file for file in files if file.suffix in (".pt", ".pth", ".pkl", ".npy")]
