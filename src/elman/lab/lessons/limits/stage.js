// Lesson 12. Three limits: errors by length with and without attention, time by steps, and the reach of the gradient by cell.
const NAMES = {
  rnn: "simple RNN, tanh",
  lstm: "LSTM",
  gru: "GRU",
  irnn: "relu RNN that begins as the identity",
  chrono: "LSTM, chrono initialization",
  cornn: "coRNN",
  lru: "LRU",
  linoss: "LinOSS",
};
const SAID = ["representation", "thought", "psychology", "elman", "walk", "responsibility", "queue", "interplanetary"];
const KEPT = 5; // curves of cells that stay for comparison

export default async function (lesson) {
  const { h, number } = lesson;
  const [errorsOf, saidOf, lookedOf, timesOf, reachOf] = Array.from({ length: 5 }, () => h("div"));
  lesson.stage.append(h("h3", {}, "1. The bottleneck"), errorsOf, saidOf, lookedOf, h("h3", {}, "2. Slow"), timesOf, h("h3", {}, "3. Memory"), reachOf);

  const word = lesson.replay
    ? lesson.choice({ name: "word", label: "Say the word", options: SAID, value: SAID[0] })
    : lesson.text({ name: "word", label: "Say the word", value: SAID[0], max: 20, hint: "letters, ' . and - only" });
  const offered = h("div", { class: "tools", role: "group", "aria-label": "Words that attention cures" });
  lesson.knobs.append(offered);
  lesson.choice({ name: "cell", label: "Memory of the cell", value: "rnn", options: Object.keys(NAMES), format: (name) => NAMES[name] });
  const again = lesson.button("Time the calls", () => time());

  const errors = lesson.charts.lines(errorsOf, {
    title: "Phoneme errors by the length of the word",
    x: { label: "letters" },
    y: { label: "share of wrong phonemes", min: 0 },
    series: [{ name: "one vector, no attention", values: [] }, { name: "with attention", values: [] }],
  });
  const looked = lesson.charts.heat(lookedOf, { title: "Where the decoder looked", values: [], row: "phoneme", column: "letter", value: "attention", min: 0, max: 1 });
  const times = lesson.charts.lines(timesOf, { title: "Milliseconds of one call by the number of steps", x: { label: "steps", log: true }, y: { label: "milliseconds", log: true }, series: [] });
  const reach = lesson.charts.lines(reachOf, {
    title: "The gradient by the memory, by steps back",
    x: { label: "steps back" },
    y: { label: "share of that at the last step", log: true, min: 1e-6 },
    series: [],
    levels: [{ y: 0.01, label: "1 %" }],
  });

  let cured = [];
  lesson.show("break", () => word.set(cured.find((each) => !lesson.replay || SAID.includes(each)) ?? "responsibility"));
  lesson.show("cure", { cell: "chrono" });
  const curves = new Map();
  let spoken = "";
  let cellNow = "";

  lesson.ask("limits.bottleneck", {}, (event) => event.event === "bottleneck" && narrowed(event));
  lesson.changed(({ word: spelled, cell }) => {
    if (spelled && spelled !== spoken) say(spelled);
    if (cell !== cellNow) {
      cellNow = cell;
      lesson.ask("limits.horizon", { cell }, (event) => event.event === "horizon" && reached(event));
    }
  });
  time();

  function narrowed(event) {
    errors.update({
      x: { label: "letters", values: event.lengths },
      series: [{ name: "one vector, no attention", values: event.errors.none }, { name: "with attention", values: event.errors.attention }],
      sentence: `Words of ${event.lengths[0]} letters: ${part(event.errors.none[0])} of the phonemes are wrong without attention, ${part(event.errors.attention[0])} with it. Of ${event.lengths.at(-1)} letters: ${part(event.errors.none.at(-1))} and ${part(event.errors.attention.at(-1))}.`,
    });
    cured = event.cured;
    if (!lesson.replay) offered.replaceChildren(h("span", { class: "hint" }, "Test words that only attention says right:"), ...cured.slice(0, 5).map((each) => h("button", { type: "button", onclick: () => word.set(each) }, each)));
  }

  function say(spelled) {
    spoken = spelled;
    const rows = [];
    let opening = null;
    lesson.ask("limits.say", { word: spelled }, (event) => {
      if (event.event === "said") opening = heard(event);
      if (event.event === "attended") rows[event.phoneme] = event.weights;
      if (event.event === "end" && opening) {
        looked.update({
          values: rows,
          rows: opening.phonemes,
          columns: opening.letters,
          sentence: `The rows are the phonemes of "${opening.word}", each with the letters that the decoder looked at.`,
        });
      }
    });
  }

  function heard(event) {
    const right = (text) => (event.dictionary === null ? "" : event.dictionary.includes(text) ? " ✓ as in the dictionary" : " ✗ not as in the dictionary");
    const known = event.dictionary === null ? "This word is not among the test words, so nobody says here what is right." : `The dictionary: ${event.dictionary.join(" or ")}`;
    saidOf.replaceChildren(
      h("p", {}, h("strong", {}, "Without attention: "), event.said.none, right(event.said.none)),
      h("p", {}, h("strong", {}, "With attention: "), event.said.attention, right(event.said.attention)),
      h("p", { class: "hint" }, known),
    );
    if (event.dictionary && event.dictionary.includes(event.said.attention) && !event.dictionary.includes(event.said.none)) lesson.reach("break");
    lesson.say(`"${event.word}" without attention: ${event.said.none}; with attention: ${event.said.attention}.`);
    return event;
  }

  function time() {
    const laps = { steps: [], times: {} };
    again.disabled = true;
    const asked = lesson.ask("limits.speed", {}, (event) => {
      if (event.event !== "timed") return;
      laps.steps.push(event.steps);
      for (const [name, value] of Object.entries(event.times)) (laps.times[name] ??= []).push(value);
      const names = Object.keys(laps.times);
      times.update({
        x: { label: "steps", log: true, values: laps.steps },
        series: names.map((name) => ({ name, values: laps.times[name] })),
        sentence: `${event.steps} steps: ${names.map((name) => `${name} ${event.times[name] === null ? "not tried, too slow" : `${number(event.times[name])} ms`}`).join("; ")}.`,
      });
    });
    asked.done.then(() => (again.disabled = false));
  }

  function reached(event) {
    curves.delete(event.cell);
    curves.set(event.cell, event.fall);
    while (curves.size > KEPT) curves.delete(curves.keys().next().value);
    const far = event.horizon === null ? `still above 1 % after ${event.steps - 1} steps` : `below 1 % after ${event.horizon} steps`;
    reach.update({
      series: [...curves].map(([cell, values]) => ({ name: NAMES[cell], values: values.map((value) => (value !== null && value < 1e-12 ? null : value)) })),
      sentence: `${NAMES[event.cell]}: the gradient by ${event.state} is ${far}.`,
    });
    lesson.say(`${NAMES[event.cell]}: the gradient is ${far}.`);
    if (event.horizon === null && event.steps >= 200) lesson.reach("cure");
  }
}

const part = (share) => `${Math.round(100 * share)} %`;
