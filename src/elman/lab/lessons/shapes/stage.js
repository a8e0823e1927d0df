// Five diagrams, a network of the chosen shape that learns, and the four criteria.
const SVG = "http://www.w3.org/2000/svg";
const SHAPES = [
  { value: "one-to-one", label: "one to one" },
  { value: "one-to-many", label: "one to many" },
  { value: "many-to-one", label: "many to one" },
  { value: "many-to-many", label: "many to many" },
  { value: "translation", label: "many to many, unaligned" },
];
// Steps with an input, and steps with an output.
const DIAGRAMS = { "one-to-one": [[0], [0]], "one-to-many": [[0], [0, 1, 2, 3]], "many-to-one": [[0, 1, 2, 3], [3]], "many-to-many": [[0, 1, 2, 3], [0, 1, 2, 3]], translation: [[0, 1, 2], [3, 4, 5]] };
// Changes below this share are of rounding.
const ROUNDING = 1e-6;
const NETWORKS = [{ value: "feedforward", label: "feed-forward" }, { value: "bag", label: "bag-of-words" }, { value: "recurrent", label: "recurrent" }];

function svg(tag, attributes = {}) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

export default async function (lesson) {
  const { h, number } = lesson;
  lesson.choice({ name: "shape", label: "Shape", options: SHAPES, value: "many-to-one" });
  lesson.button("Train it", learn, { primary: true });
  lesson.choice({ name: "network", label: "Criteria: which network reads", options: NETWORKS, value: "feedforward" });
  lesson.range({ name: "words", label: "Criteria: words of the sentence", min: 2, max: 12, step: 1, value: 6 });

  const [picture, curvePlace, answers, criteriaPlace, sizePlace] = Array.from({ length: 5 }, () => h("div"));
  lesson.stage.append(picture, curvePlace, answers, h("h3", {}, "Four criteria, measured"), criteriaPlace, sizePlace);
  const curve = lesson.charts.lines(curvePlace, { title: "Loss while it learns", x: { label: "update" }, y: { label: "nats a word", log: true }, series: [], sentence: "Press Train it." });
  const sizes = lesson.charts.lines(sizePlace, { title: "Parameters by words of a sentence", x: { label: "words", start: 2 }, y: { label: "parameters", min: 0 }, series: [] });
  const known = {};

  let timer = null;
  lesson.leave(() => clearInterval(timer));
  function diagram(shape) {
    clearInterval(timer);
    const [inputs, outputs] = DIAGRAMS[shape];
    const steps = Math.max(...inputs, ...outputs) + 1;
    const name = SHAPES.find(({ value }) => value === shape).label;
    const drawing = svg("svg", { viewBox: `0 0 ${steps * 60} 150`, role: "img", "aria-label": `${name}: inputs at ${inputs.length} steps, outputs at ${outputs.length} of ${steps}` });
    drawing.style.width = "100%";
    drawing.style.maxWidth = `${steps * 4.2}rem`;
    const columns = Array.from({ length: steps }, (_, step) => {
      const group = svg("g", { fill: "none", stroke: "currentColor", "stroke-width": 1.5 });
      const x = step * 60 + 10;
      box(group, x, 55, "h");
      if (inputs.includes(step)) box(group, x, 110, "x"), group.append(svg("path", { d: `M${x + 20},110V97` }));
      if (outputs.includes(step)) box(group, x, 2, "ŷ"), group.append(svg("path", { d: `M${x + 20},55V42` }));
      if (step > 0) group.append(svg("path", { d: `M${x - 20},76H${x}` }));
      drawing.append(group);
      return group;
    });
    picture.replaceChildren(h("h3", {}, name), drawing);
    if (lesson.still) return;
    let now = 0;
    timer = setInterval(() => {
      columns.forEach((group, step) => group.setAttribute("opacity", step === now % (steps + 1) || now % (steps + 1) === steps ? "1" : "0.4"));
      now += 1;
    }, 500);
  }

  function box(group, x, y, name) {
    group.append(svg("rect", { x, y, width: 40, height: 40, rx: 8 }));
    const label = svg("text", { x: x + 20, y: y + 26, "text-anchor": "middle", "font-size": 17, fill: "currentColor", stroke: "none" });
    label.textContent = name;
    group.append(label);
  }

  function learn() {
    const { shape } = lesson.settings();
    const points = { x: [], values: [] };
    let start = null;
    answers.replaceChildren();
    lesson.ask("shapes.learn", { shape, updates: 300, seed: 0 }, (event) => {
      if (event.event === "start") start = event;
      if (event.event === "curve") {
        points.x.push(event.update);
        points.values.push(event.loss);
        curve.update({ series: [{ name: shape, x: [...points.x], values: [...points.values] }], sentence: `Loss ${number(event.loss)} nats after ${event.update} updates; ${number(start.parameters)} parameters.` });
      }
      if (event.event !== "answers") return;
      const rows = event.rows.map((row) => h("tr", {}, h("th", { scope: "row" }, row.pixels ? image(row.pixels) : row.read.join(" ")), h("td", {}, row.written.join(" ")), h("td", {}, row.wanted.join(" ") === row.written.join(" ") ? "✓" : `✗ ${row.wanted.join(" ")}`)));
      answers.replaceChildren(h("div", { class: "scroll", tabindex: "0" }, h("table", {}, h("thead", {}, h("tr", {}, ["reads (new to it)", "writes", "right"].map((name) => h("th", { scope: "col" }, name)))), h("tbody", {}, rows))));
      lesson.say(`Of ${start.new} new rows, ${number(100 * event.accuracy)} % are right from beginning to end.`);
    });
  }

  function image(pixels) {
    const canvas = h("canvas", { width: 20, height: 20, role: "img", "aria-label": "image of a ball" });
    const ctx = canvas.getContext("2d");
    pixels.forEach((row, y) => row.forEach((value, x) => {
      ctx.fillStyle = `rgb(${Math.round(255 * value)},${Math.round(255 * value)},${Math.round(255 * value)})`;
      ctx.fillRect(x, y, 1, 1);
    }));
    canvas.style.width = canvas.style.height = "60px";
    canvas.style.imageRendering = "pixelated";
    return canvas;
  }

  lesson.show("break", { network: "feedforward", words: 7 });
  lesson.show("cure", { network: "recurrent", words: 8 });
  let drawn = "";
  lesson.changed(({ shape, network, words }) => {
    if (shape !== drawn) diagram((drawn = shape));
    lesson.ask("shapes.criteria", { network, words }, (event) => {
      if (event.event === "criteria") judge(event);
    });
  });

  function judge(event) {
    const name = NETWORKS.find(({ value }) => value === event.network).label;
    const change = (value) => (value === null ? "not measured: refused" : `the output moves by ${number(100 * value)} %`);
    const rows = [
      ["Any length", event.taken.length === event.parameters.length, event.taken.length > 1 ? `takes ${event.taken[0]} to ${event.taken.at(-1)} words` : `takes ${event.taken[0]} words and no other number`],
      ["Long-term dependencies", event.first_word > ROUNDING, `the first of 12 words replaced: ${change(event.first_word)}`],
      ["Order", event.order > ROUNDING, `two of ${event.order_words} words swapped: ${change(event.order)}`],
      ["Shared parameters", event.shared, event.shared ? `${number(event.parameters[0])}, whatever the length` : `${number(event.parameters[0])} for 2 words, ${number(event.parameters.at(-1))} for 12`],
    ];
    const cells = rows.map(([criterion, met, why]) => h("tr", {}, h("th", { scope: "row" }, criterion), h("td", {}, met ? "✓ yes" : "✗ no"), h("td", {}, why)));
    criteriaPlace.replaceChildren(h("div", { class: "scroll", tabindex: "0" }, h("table", {}, h("thead", {}, h("tr", {}, ["criterion", name, "measured"].map((head) => h("th", { scope: "col" }, head)))), h("tbody", {}, cells))));
    known[event.network] = event.parameters;
    sizes.update({ series: Object.entries(known).map(([network, values]) => ({ name: NETWORKS.find(({ value }) => value === network).label, values })) });
    const met = rows.filter(([, is]) => is).length;
    const taken = event.refusal ? `refuses ${event.words} words (${event.refusal})` : `takes ${event.words} words`;
    lesson.say(`The ${name} network ${taken} and meets ${met} of 4 criteria.`);
    if (event.refusal && event.network === "feedforward") lesson.reach("break");
    if (met === 4 && event.words >= 8) lesson.reach("cure");
  }
}
