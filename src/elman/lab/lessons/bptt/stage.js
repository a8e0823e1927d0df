// The network over time with its losses; a loss walks back; all terms and their sum.
const ACTIVATIONS = ["tanh", "relu", "identity"];

export default async function (lesson) {
  const { h, number } = lesson;
  lesson.range({ name: "w_hh", label: "W_hh (times an orthogonal matrix, with four units)", min: 0, max: 2.5, step: 0.1, value: 0.9 });
  lesson.choice({ name: "s_h", label: "Activation s_h", options: ACTIVATIONS, value: "tanh" });
  lesson.choice({ name: "hidden", label: "Hidden units", options: [1, 4], value: 1 });
  lesson.range({ name: "steps", label: "Steps T", min: 2, max: 12, step: 1, value: 8 });
  const t = lesson.range({ name: "t", label: "Loss that walks back, t", min: 1, max: 12, step: 1, value: 8 });

  const [overTime, walk, terms] = [h("div"), h("div"), h("div")];
  lesson.stage.append(overTime, walk, terms);
  const time = lesson.charts.bars(overTime, { title: "Loss over time: L = L_1 + … + L_T", x: { label: "loss", min: 0 } });
  const buttons = h("div", { class: "pills", role: "group", "aria-label": "Click a loss" });
  overTime.append(buttons);
  const table = lesson.charts.heat(terms, { title: "All terms: the loss at t (row) by W_hh at step k (column), powers of ten", row: "loss", column: "step", value: "log10 of the term", onChoose: (row) => t.set(row + 1) });

  lesson.show("break", { w_hh: 0.1, s_h: "tanh", steps: 8, t: 8 });
  lesson.show("cure", { w_hh: 1, s_h: "identity", steps: 8, t: 8 });

  lesson.changed(({ w_hh, s_h, hidden, steps, t: chosen }) => {
    let losses = null;
    let sum = null;
    lesson.ask("bptt.walk", { w_hh, s_h, hidden, steps, t: Math.min(chosen, steps), seed: 0 }, (event) => {
      if (event.event === "losses") losses = event;
      if (event.event === "sum") sum = event;
      if (event.event !== "walk") return;
      show(losses, event.t);
      showTerms(sum);
      back(event, sum);
    });
  });

  function show(losses, chosen) {
    const names = losses.losses.map((_, index) => `L_${index + 1}`);
    time.update({ labels: names, series: [{ name: "loss", values: losses.losses }], best: chosen - 1, sentence: `The total loss is ${number(losses.total)}.` });
    buttons.replaceChildren(...names.map((name, index) => h("button", { type: "button", "aria-pressed": String(index + 1 === chosen), onclick: () => t.set(index + 1) }, name)));
  }

  function showTerms(sum) {
    const logs = sum.table.map((row) => row.map((value) => (value ? Math.log10(Math.abs(value)) : null)));
    table.update({ values: logs, rows: logs.map((_, index) => `L_${index + 1}`), columns: logs.map((_, index) => `k = ${index + 1}`), sentence: `The sum of all ${sum.terms} terms is ${sum.sum.toPrecision(7)}; autograd's gradient by W_hh is ${sum.autograd.toPrecision(7)}. They differ by ${number(sum.difference)}.` });
  }

  let timer = null;
  lesson.leave(() => clearTimeout(timer));
  function back({ t: chosen, steps }, sum) {
    const rows = steps.map(({ k, factor, product, term }) =>
      h("tr", {}, h("th", { scope: "row" }, `k = ${k}`), h("td", {}, factor === null ? "" : `× ${number(factor)}`), h("td", {}, number(product)), h("td", {}, number(term))));
    const head = h("thead", {}, h("tr", {}, ["step", `∂h_{k+1}/∂h_k`, `∂h_${chosen}/∂h_k`, "term"].map((name) => h("th", { scope: "col" }, name))));
    const body = h("tbody");
    walk.replaceChildren(h("h3", {}, `L_${chosen} walks back`), h("div", { class: "scroll", tabindex: "0" }, h("table", {}, head, body)));
    clearTimeout(timer);
    let next = 0;
    const step = () => {
      body.append(rows[next++]);
      if (next < rows.length) timer = setTimeout(step, 120);
    };
    if (lesson.still) body.append(...rows);
    else step();
    const product = Math.abs(steps.at(-1).product);
    lesson.say(`From L_${chosen} back to step 1 the gradient passes ${chosen - 1} factors, whose product is ${number(product)}. Sum of all terms ${sum.sum.toPrecision(7)}, autograd ${sum.autograd.toPrecision(7)}.`);
    if (chosen === 8 && product < 1e-6) lesson.reach("break");
    if (chosen === 8 && product > 0.1 && product <= 10) lesson.reach("cure");
  }
}
