// Lesson 8. Two readers of one sentence, its words to be dragged; and a batch with padding.
const SHOWN = [
  "The food was good, not bad at all.",
  "The food was bad, not good at all.",
  "The food was not bad but good.",
  "The food was not good but bad.",
  "The soup was never cold.",
  "Our waiter was rude, not kind.",
  "Our waiter was kind, not rude.",
];
const NAMES = { rnn: "simple RNN", lstm: "LSTM", gru: "GRU" };

export default async function (lesson) {
  const { h, number } = lesson;
  const [verdictsOf, wordsOf, afterOf, weightsOf, learnedOf, paddedOf] = Array.from({ length: 6 }, () => h("div"));
  lesson.stage.append(wordsOf, verdictsOf, afterOf, weightsOf, learnedOf, paddedOf);

  const text = lesson.replay
    ? lesson.choice({ name: "text", label: "Sentence", options: SHOWN, value: SHOWN[0] })
    : lesson.text({ name: "text", label: "Sentence", value: SHOWN[0], max: 200 });
  if (!lesson.replay) for (const [index, label] of ["good, not bad", "bad, not good"].entries()) lesson.button(label, () => text.set(SHOWN[index]));
  lesson.choice({ name: "cell", label: "Network", value: "gru", options: ["rnn", "lstm", "gru"], format: (name) => NAMES[name] });
  lesson.choice({ name: "padding", label: "Written into the padding", value: "0", options: ["0", "1000", "nan"] });
  lesson.choice({ name: "lengths", label: "Lengths", value: true, options: [{ value: true, label: "given to the layer" }, { value: false, label: "not given" }] });

  const after = lesson.charts.lines(afterOf, {
    title: "The network, word by word",
    x: { label: "word", start: 1 },
    y: { label: "P(praise)", min: 0, max: 1 },
    series: [{ name: "P(praise) after this word", values: [] }],
    levels: [{ y: 0.5, label: "undecided" }],
  });
  const weights = lesson.charts.bars(weightsOf, { title: "The bag of words: the weight of each word", x: { label: "weight" } });
  const learned = lesson.charts.lines(learnedOf, {
    title: "How they learned",
    x: { label: "update" },
    y: { label: "loss" },
    series: [{ name: "network", values: [] }, { name: "bag of words", values: [] }],
    levels: [{ y: Math.LN2, label: "a coin" }],
  });
  const padded = lesson.charts.heat(paddedOf, { title: "The output of each step, with padding", values: [], row: "sentence", column: "step", value: "‖h‖", min: 0 });

  lesson.show("break", { text: SHOWN[1] });
  lesson.show("cure", async () => {
    text.set(SHOWN[0]);
    await new Promise((wait) => setTimeout(wait, 2500));
    text.set(SHOWN[1]);
  });

  const seen = new Map(); // the words of a sentence, sorted, by network -> what was said of it
  let trainedCell = null;
  lesson.changed(({ text: sentence, cell, padding, lengths }) => {
    if (cell !== trainedCell) {
      trainedCell = cell;
      lesson.ask("order.train", { cell }, (event) => event.event === "trained" && taught(cell, event));
    }
    if (sentence.trim()) lesson.ask("order.read", { text: sentence, cell }, (event) => event.event === "read" && judged(cell, event));
    const asked = lesson.replay ? { padding, lengths, cell: "gru" } : { padding, lengths, cell };
    lesson.ask("order.padding", asked, (event) => event.event === "padded" && filled(asked, event));
  });

  function taught(cell, { updates, network, bag, accuracy }) {
    learned.update({
      x: { label: "update", values: updates },
      series: [{ name: NAMES[cell], values: network }, { name: "bag of words", values: bag }],
      sentence: `On 500 sentences with pairs that neither has seen, the ${NAMES[cell]} is right in ${percent(accuracy.network)} and the bag of words in ${percent(accuracy.bag)}.`,
    });
  }

  function judged(cell, event) {
    chips(event.tokens);
    verdictsOf.replaceChildren(verdict(NAMES[cell], event.network), verdict("Bag of words", event.bag));
    if (event.unknown.length) verdictsOf.append(h("p", { class: "hint" }, `Not in the vocabulary, so read as <unk>: ${event.unknown.join(", ")}.`));
    after.update({
      series: [{ name: "P(praise) after this word", values: event.after }],
      marks: event.tokens.map((token, index) => ({ x: index + 1, label: token })).filter(({ label }) => ["not", "never", "but"].includes(label)),
      sentence: turning(event),
    });
    weights.update({ labels: event.tokens.map((token, index) => `${index + 1} ${token}`), series: [{ name: "weight", values: event.weights }] });
    const apart = (event.network > 0.5) !== (event.bag > 0.5);
    if (apart) lesson.reach("break");
    const key = `${cell} ${[...event.tokens].sort().join(" ")}`;
    const before = seen.get(key);
    const turned = before && before.bag === event.bag && (before.network > 0.5) !== (event.network > 0.5);
    if (turned) lesson.reach("cure");
    seen.set(key, event);
    lesson.say(`${NAMES[cell]}: ${percent(event.network)} praise. Bag of words: ${percent(event.bag)} praise.${turned ? " The same words in another order: the network turned, the bag of words did not move." : ""}`);
  }

  function verdict(name, p) {
    return h("p", { class: "verdict" }, h("strong", {}, `${name}: `), `${p > 0.5 ? "praise" : "complaint"} (P(praise) = ${p.toFixed(3)})`);
  }

  function filled({ padding, lengths }, event) {
    const moved = event.moved.map((value, row) => `${event.lengths[row]} words: ${value === null ? "NaN" : value < 1e-6 ? "0" : number(value)}`);
    padded.update({
      values: event.norms,
      rows: event.sentences.map((sentence) => sentence.split(" ").slice(0, 3).join(" ") + " …"),
      columns: event.norms[0].map((_, index) => String(index + 1)),
      sentence: `Padding ${padding}, lengths ${lengths ? "given" : "not given"}. Change of the last state against the sentence alone: ${moved.join("; ")}.${event.same ? " The batch is the same, bit for bit, as with zeros in the padding." : ""}`,
    });
  }

  /** The words as buttons that are dragged, or moved by the arrow keys. */
  function chips(tokens) {
    const focused = wordsOf.querySelector(":focus")?.dataset.place;
    const moved = (from, to) => {
      if (lesson.replay || to < 0 || to >= tokens.length || from === to) return;
      const next = [...tokens];
      next.splice(to, 0, ...next.splice(from, 1));
      wordsOf.dataset.focus = String(to);
      text.set(next.join(" "));
      chips(next);
    };
    const list = tokens.map((token, place) => {
      const button = h("button", {
        type: "button",
        draggable: lesson.replay ? "false" : "true",
        "data-place": place,
        "aria-label": `${token}, word ${place + 1} of ${tokens.length}. Arrow keys move it.`,
        onkeydown: (event) => {
          const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
          if (!by) return;
          event.preventDefault();
          moved(place, place + by);
        },
        ondragstart: (event) => event.dataTransfer.setData("text/plain", String(place)),
        ondragover: (event) => event.preventDefault(),
        ondrop: (event) => {
          event.preventDefault();
          moved(Number(event.dataTransfer.getData("text/plain")), place);
        },
      }, token);
      return button;
    });
    wordsOf.replaceChildren(h("div", { class: "tools", role: "group", "aria-label": "The words, in order" }, list));
    const target = wordsOf.dataset.focus ?? focused;
    delete wordsOf.dataset.focus;
    if (target !== undefined) list[Math.min(Number(target), list.length - 1)]?.focus();
  }
}

const percent = (part) => `${(100 * part).toFixed(0)} %`;

function turning({ after, tokens }) {
  let [largest, place] = [0, 0];
  for (let index = 1; index < after.length; index++) {
    const step = Math.abs(after[index] - after[index - 1]);
    if (step > largest) [largest, place] = [step, index];
  }
  return largest < 0.2 ? "The network never changes its mind." : `It changes its mind most at "${tokens[place]}", word ${place + 1}: from ${after[place - 1].toFixed(2)} to ${after[place].toFixed(2)}.`;
}
