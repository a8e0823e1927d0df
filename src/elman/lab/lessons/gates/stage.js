// Lesson 7. Six rows over twenty steps: four gates that are dragged, and the two states that the cell makes of them.
const STEPS = 20;
const MARK = 18;
const PATTERNS = {
  open: { forget: only(all()), store: only([2]), value: "9".repeat(STEPS), output: "9".repeat(STEPS) },
  leak: { forget: "6".repeat(STEPS), store: only([2]), value: "9".repeat(STEPS), output: "9".repeat(STEPS) },
  hold: { forget: only(all()), store: only([2]), value: "9".repeat(STEPS), output: only([MARK]) },
  replace: { forget: only([2, 11], "0", "9"), store: only([2, 11]), value: only([11], "f", "9"), output: only([10, MARK]) },
};
const BUTTONS = { open: "Hold and show", leak: "Leak", hold: "Hold, show at the mark", replace: "Replace" };
const ROWS = [
  { name: "forget", label: "forget f", says: "kept" },
  { name: "store", label: "store i", says: "open" },
  { name: "value", label: "new value g", signed: true, says: "flows in" },
  { name: "output", label: "output o", says: "shown" },
];
const UNUSED = { lstm: [], tied: ["store"], gru: ["store", "output"] };

function all() {
  return Array.from({ length: STEPS }, (_, index) => index + 1);
}

function only(steps, digit = "9", other = "0") {
  return all().map((step) => (steps.includes(step) ? digit : other)).join("");
}

const fraction = (digit) => (/[0-9]/.test(digit) ? Number(digit) : -(digit.charCodeAt(0) - 96)) / 9;
const digit = (value) => {
  const near = Math.round(value * 9);
  return near < 0 ? String.fromCharCode(96 - near) : String(near);
};

export default async function (lesson) {
  const { h, number } = lesson;
  const gatesOf = h("div", { class: "gates" });
  const gradientOf = h("div");
  const biasOf = h("div");
  lesson.stage.append(gatesOf, gradientOf, biasOf);

  const cell = lesson.choice({
    name: "cell",
    label: "Cell",
    value: "lstm",
    options: [{ value: "lstm", label: "LSTM" }, { value: "tied", label: "tied: i = 1 − f" }, { value: "gru", label: "GRU" }],
  });
  for (const [name, label] of Object.entries(BUTTONS)) lesson.button(label, () => lesson.set(PATTERNS[name]));
  const knobs = Object.fromEntries(ROWS.map(({ name, label, signed }) => [name, lesson.text({
    name,
    label: `${label}, a digit a step`,
    value: PATTERNS.open[name],
    max: STEPS,
    hint: signed ? "0 to 9 is 0 to 1; a to i is −1/9 to −1" : undefined,
  })]));
  lesson.range({ name: "bias", label: "Forget bias b_f", min: -2, max: 8, step: 0.25, value: 1, hint: "of the LSTM in the lowest chart" });
  lesson.choice({ name: "scale", label: "Its other weights", value: 0, options: [{ value: 0, label: "0" }, { value: 1, label: "as torch begins" }] });

  const editors = ROWS.map((row) => strip(h, gatesOf, { ...row, fixed: lesson.replay, change: (step, value) => {
    const now = knobs[row.name].value.padEnd(STEPS, "0").split("");
    now[step] = digit(row.signed ? value : Math.max(0, value));
    knobs[row.name].set(now.join(""));
  } }));
  const tank = strip(h, gatesOf, { label: "cell state c, the tank", signed: true, fixed: true, level: true, says: "c" });
  const shown = strip(h, gatesOf, { label: "output state h", signed: true, fixed: true, says: "h" });
  if (lesson.replay) gatesOf.append(h("p", { class: "hint" }, "In this saved page the buttons choose the pattern. elman lab lets you drag the bars."));
  const gradient = lesson.charts.lines(gradientOf, {
    title: "What h at the last step owes to the memory at each step",
    x: { label: "step", start: 1 },
    y: { label: "‖dh at step 20 / dc‖", log: true },
    series: [{ name: "gradient", values: [] }],
  });
  const bias = lesson.charts.lines(biasOf, {
    title: "From the bias of the forget gate to a half-life",
    x: { label: "steps back" },
    y: { label: "share of the gradient of c" , log: true },
    series: [{ name: "formula: s(b_f) to the power of the steps", values: [] }, { name: "measured in an LSTM of 32 units", values: [] }],
  });

  lesson.show("break", { cell: "lstm", ...PATTERNS.leak });
  lesson.show("cure", { cell: "lstm", ...PATTERNS.hold });

  lesson.changed(({ cell: kind, forget, store, value, output, bias: b, scale }) => {
    const written = { forget, store, value, output };
    ROWS.forEach(({ name }, index) => editors[index].update([...written[name]].map(fraction), UNUSED[kind].includes(name)));
    lesson.ask("gates.tank", { cell: kind, ...written }, (event) => event.event === "tank" && filled(kind, event));
    lesson.ask("gates.half_life", { bias: b, scale }, (event) => event.event === "half_life" && halved(b, event));
  });

  function filled(kind, { gates, c, h: out, gradient: by }) {
    if (kind !== "lstm") editors[1].update(gates.store, true); // 1 - f, computed by the cell
    tank.update(c, kind === "gru");
    shown.update(out, false);
    gradient.update({
      title: kind === "gru" ? "What h at the last step owes to h at each step" : "What h at the last step owes to the memory at each step",
      series: [{ name: "gradient", values: by }],
      sentence: `The gradient by ${kind === "gru" ? "h" : "c"} is ${number(by[1])} at step 2 and ${number(by[STEPS - 2])} at step 19.`,
    });
    const highest = c.findIndex((level, step) => Math.abs(level) >= 0.5 && Math.abs(level) >= Math.abs(c[step + 1] ?? 0));
    const empty = highest < 0 ? -1 : c.findIndex((level, step) => step > highest && Math.abs(level) < 0.1 * Math.abs(c[highest]));
    const leaked = highest >= 0 && empty >= 0 && empty - highest <= 10;
    const before = Math.max(...out.slice(0, MARK - 1).map(Math.abs));
    const kept = Math.max(...c.slice(0, 3).map(Math.abs)) >= 0.5 && before < 0.1 && Math.abs(out[MARK - 1]) > 0.5;
    if (leaked) lesson.reach("break");
    if (kept) lesson.reach("cure");
    const level = highest < 0 ? "The tank is never half full." : `The tank is fullest at step ${highest + 1}, c = ${number(c[highest])}, and holds ${number(c[STEPS - 1])} at step 20.`;
    lesson.say(`${level} Before the mark |h| is at most ${number(before)}; at the mark h is ${number(out[MARK - 1])}.`);
  }

  function halved(b, event) {
    const measured = event.half_life_measured === null ? "does not decay" : `${number(event.half_life_measured)} steps`;
    bias.update({
      series: [
        { name: "formula: s(b_f) to the power of the steps", values: event.formula },
        { name: "measured in an LSTM of 32 units", values: event.measured },
      ],
      levels: [{ y: 0.5, label: "one half" }],
      sentence: `b_f = ${number(b)}: f = ${number(event.forget)}. Half-life by the formula ${number(event.half_life_formula)} steps, measured: ${measured}.`,
    });
  }
}

/** A row of bars, one a step, that a pointer or the arrow keys change: {update(values, unused)}. */
function strip(h, element, { label, signed = false, fixed = false, level = false, says, change }) {
  const tall = level ? 84 : 52;
  const wide = 400;
  const svg = make("svg", { viewBox: `0 0 ${wide} ${tall}`, width: "100%", height: tall, preserveAspectRatio: "none", tabindex: "0" });
  const readout = h("output", { class: "readout" });
  const note = h("span", {}, "");
  let values = [];
  let step = 0;
  let dragging = false;
  if (fixed) svg.setAttribute("role", "img");
  else for (const [name, value] of Object.entries({ role: "slider", "aria-orientation": "vertical", "aria-valuemin": signed ? -1 : 0, "aria-valuemax": 1 })) svg.setAttribute(name, value);
  svg.style.touchAction = "none";
  svg.style.display = "block";
  svg.style.cursor = fixed ? "default" : "ns-resize";
  const frame = h("div", { class: "strip" }, h("div", { class: "knob-head" }, h("span", {}, label, " ", note), readout), svg);
  frame.style.marginBottom = "0.75rem";
  element.append(frame);

  function draw() {
    const reach = Math.max(1, ...values.map(Math.abs));
    const zero = signed ? tall / 2 : tall - 2;
    const scale = (signed ? tall / 2 - 3 : tall - 5) / reach;
    const one = wide / STEPS;
    svg.replaceChildren(
      make("rect", { x: 0, y: 0, width: wide, height: tall, fill: "currentColor", "fill-opacity": 0.06 }),
      make("rect", { x: (MARK - 1) * one, y: 0, width: one, height: tall, fill: "currentColor", "fill-opacity": 0.12 }),
      make("line", { x1: 0, x2: wide, y1: zero, y2: zero, stroke: "currentColor", "stroke-opacity": 0.5 }),
      ...values.flatMap((value, index) => {
        const size = Math.max(1, Math.abs(value) * scale);
        const bar = { x: index * one + 2, width: one - 4, y: value < 0 ? zero : zero - size, height: size };
        const color = level ? "var(--accent, #0072B2)" : "currentColor";
        const made = [make("rect", { ...bar, fill: color, "fill-opacity": level ? 0.9 : 0.65 })];
        if (level) made.push(make("rect", { x: bar.x, y: 2, width: bar.width, height: tall - 4, fill: "none", stroke: "currentColor", "stroke-opacity": 0.6 }));
        if (index === step && document.activeElement === svg) made.push(make("rect", { x: index * one + 1, y: 1, width: one - 2, height: tall - 2, fill: "none", stroke: "currentColor", "stroke-width": 2 }));
        return made;
      }),
    );
    const text = `step ${step + 1}: ${says} ${(values[step] ?? 0).toFixed(2)}`;
    svg.setAttribute("aria-label", fixed ? `${label}. ${text}` : label);
    if (!fixed) {
      svg.setAttribute("aria-valuenow", (values[step] ?? 0).toFixed(2));
      svg.setAttribute("aria-valuetext", text);
    }
    readout.textContent = text;
  }

  function at(event) {
    const box = svg.getBoundingClientRect();
    step = Math.min(STEPS - 1, Math.max(0, Math.floor(((event.clientX - box.left) / box.width) * STEPS)));
    const part = 1 - (event.clientY - box.top) / box.height;
    return Math.min(1, Math.max(signed ? -1 : 0, signed ? 2 * part - 1 : part));
  }

  function put(value) {
    if (fixed) return draw();
    values[step] = value;
    draw();
    return change(step, value);
  }

  svg.addEventListener("pointerdown", (event) => {
    dragging = true;
    svg.setPointerCapture(event.pointerId);
    put(at(event));
  });
  svg.addEventListener("pointermove", (event) => {
    if (dragging) return put(at(event));
    at(event);
    return draw();
  });
  for (const name of ["pointerup", "pointercancel"]) svg.addEventListener(name, () => (dragging = false));
  for (const name of ["focus", "blur"]) svg.addEventListener(name, draw);
  svg.addEventListener("keydown", (event) => {
    const by = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    const set = { Home: signed ? -1 : 0, End: 1 }[event.key];
    if (!by && set === undefined) return;
    event.preventDefault();
    if (by) step = Math.min(STEPS - 1, Math.max(0, step + by[0]));
    const next = set ?? (values[step] ?? 0) + by[1] / 9;
    if (set !== undefined || by[1]) put(Math.min(1, Math.max(signed ? -1 : 0, next)));
    else draw();
  });
  draw();

  return {
    update(next, unused) {
      values = [...next];
      note.textContent = unused ? (level ? "(merged with h)" : "(has no handle in this cell)") : "";
      svg.style.opacity = unused ? 0.45 : 1;
      draw();
    },
  };
}

function make(tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}
