// Lesson 9. Three lanes: who is first at the post? The guess comes before the start.
const NAMES = { rnn: "simple RNN", lstm: "LSTM", gru: "GRU" };
const CELLS = Object.keys(NAMES);

export default async function (lesson) {
  const { h, number } = lesson;
  const boardOf = h("div", { role: "status" });
  const curvesOf = h("div");
  const endOf = h("div");
  lesson.stage.append(boardOf, curvesOf, endOf);

  lesson.choice({ name: "task", label: "Task", value: "recall", options: ["recall", "echo", "adding", "parity"] });
  lesson.range({ name: "distance", label: "Distance", min: 1, max: 10, step: 1, value: 4, hint: "how far back the answer lies" });
  if (!lesson.replay) {
    lesson.range({ name: "units", label: "Units of the GRU", min: 4, max: 32, step: 4, value: 24, hint: "the others get as many parameters" });
    lesson.range({ name: "updates", label: "Updates", min: 40, max: 400, step: 20, value: 300 });
    lesson.range({ name: "rate", label: "Learning rate", min: 0.001, max: 0.1, step: 1.25, value: 0.01, log: true });
    lesson.range({ name: "seed", label: "Seed", min: 0, max: 20, step: 1, value: 0 });
  }
  const guess = lesson.choice({ name: "guess", label: "Who will win?", value: "lstm", options: CELLS, format: (name) => NAMES[name] });
  const start = lesson.button("Start the race", begin, { primary: true });
  const stop = lesson.button("Stop", () => running?.stop());
  stop.disabled = true;

  const curves = lesson.charts.lines(curvesOf, { title: "The race", x: { label: "update" }, y: { label: "accuracy" }, series: CELLS.map((cell) => ({ name: NAMES[cell], values: [] })) });
  const ends = lesson.charts.bars(endOf, { title: "At the end", labels: CELLS.map((cell) => NAMES[cell]), series: [{ name: "score", values: [null, null, null] }] });
  boardOf.append(h("p", {}, "Say who will win, and start."));

  lesson.show("break", () => showed({ task: "recall", distance: 4 }));
  lesson.show("cure", () => showed({ task: "echo", distance: 8 }));
  let running = null;
  lesson.leave(() => running?.stop());

  function showed(settings) {
    lesson.set({ ...settings, guess: settings.task === "echo" ? "rnn" : "gru" });
    begin();
  }

  function begin() {
    const { guess: guessed, ...settings } = lesson.settings();
    const laps = { x: [], rnn: [], lstm: [], gru: [] };
    let opening = null;
    start.disabled = true;
    stop.disabled = false;
    running = lesson.ask("race.run", settings, (event) => {
      if (event.event === "start") opening = started(event);
      if (event.event === "lap") lapped(laps, opening, event);
      if (event.event === "result") finished(opening, event, guessed);
    });
    running.done.then(() => {
      start.disabled = false;
      stop.disabled = true;
    });
  }

  function started(event) {
    const sizes = CELLS.map((cell) => h("li", {}, `${NAMES[cell]}: ${event.units[cell]} units, ${number(event.parameters[cell])} parameters`));
    boardOf.replaceChildren(h("ul", {}, sizes));
    return event;
  }

  function lapped(laps, opening, { update, scores }) {
    laps.x.push(update);
    for (const cell of CELLS) laps[cell].push(scores[cell]);
    const isError = opening.measure !== "accuracy";
    const ordered = [...CELLS].sort((a, b) => (isError ? scores[a] - scores[b] : scores[b] - scores[a]));
    curves.update({
      x: { label: "update", values: laps.x },
      y: isError ? { label: "mean squared error", min: 0 } : { label: "accuracy", min: 0, max: 1 },
      series: CELLS.map((cell) => ({ name: NAMES[cell], values: laps[cell] })),
      levels: [{ y: opening.guess, label: "a constant answer" }, isError ? { y: 0.02, label: "post" } : { y: 0.95, label: "post" }],
      sentence: `After ${update} updates: ${ordered.map((cell) => `${NAMES[cell]} ${number(scores[cell])}`).join(", ")}.`,
    });
    lesson.say(`Update ${update}: ${NAMES[ordered[0]]} leads with ${number(scores[ordered[0]])}.`);
  }

  function finished(opening, { first, final, winner }, guessed) {
    ends.update({
      title: `At the end: ${opening.measure}`,
      x: { label: opening.measure, min: 0 },
      series: [{ name: opening.measure, values: CELLS.map((cell) => final[cell]) }],
      best: CELLS.indexOf(winner),
    });
    const posts = CELLS.map((cell) => `${NAMES[cell]} ${first[cell] === null ? "never" : `at update ${first[cell]}`}`).join(", ");
    lesson.say(`${guessed === winner ? "You were right" : `You guessed the ${NAMES[guessed]}`}: the ${NAMES[winner]} wins. At the post: ${posts}.`);
    if (opening.measure === "accuracy" && winner !== "rnn" && final.rnn < 0.5 * final[winner]) lesson.reach("break");
    if (winner === "rnn") lesson.reach("cure");
  }
}
