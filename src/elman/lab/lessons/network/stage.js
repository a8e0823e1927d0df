// The three problems of the feed-forward network; then one unit, every weight a slider.
const SVG = "http://www.w3.org/2000/svg";
const ACTIVATIONS = ["tanh", "relu", "identity", "sigmoid"];
const BITS = [{ value: "1011000000", label: "1 0 1 1 0 0 0 0 0 0" }, { value: "1000000000", label: "1 0 0 0 0 0 0 0 0 0" }];
const LIT = "light-dark(#b00058, #ffd166)";

function svg(tag, attributes = {}, text = "") {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text) element.textContent = text;
  return element;
}

export default async function (lesson) {
  const { h, number } = lesson;
  const weight = (name, label, value) => lesson.range({ name, label, min: -3, max: 3, step: 0.1, value });
  weight("w_hx", "W_hx, input to hidden", 1);
  weight("w_hh", "W_hh, hidden to hidden", 0.5);
  weight("b_h", "b_h", 0);
  weight("w_yh", "W_yh, hidden to output", 1);
  weight("b_y", "b_y", 0);
  lesson.choice({ name: "s_h", label: "Activation s_h", options: ACTIVATIONS.slice(0, 4), value: "tanh" });
  lesson.choice({ name: "s_y", label: "Output activation s_y", options: ["identity", "sigmoid"], value: "identity" });
  lesson.choice({ name: "bits", label: "Bits", options: BITS, value: "1011000000" });

  const [unitPlace, statePlace, problems] = [h("div"), h("div"), h("div")];
  lesson.stage.append(h("h3", {}, "Three problems of the feed-forward network"), problems, h("h3", {}, "One unit, step by step"), unitPlace, statePlace);
  const states = lesson.charts.lines(statePlace, { title: "The state h_t and the output ŷ_t", x: { label: "step t", start: 1 }, y: { label: "" }, series: [] });

  // Problems
  const [sizePlace, refusalPlace, pastsPlace] = [h("div"), h("p"), h("p")];
  problems.append(sizePlace, h("p", {}, h("strong", {}, "A fixed size. ")), refusalPlace, h("p", {}, h("strong", {}, "No memory. ")), pastsPlace);
  const sizes = lesson.charts.lines(sizePlace, { title: "Many parameters: by the words of a sentence", x: { label: "words", start: 1 }, y: { label: "parameters", min: 0 }, series: [] });
  lesson.ask("network.problems", { hidden: 16 }, (event) => {
    if (event.event === "parameters") {
      sizes.update({ series: [{ name: "feed-forward", values: event.feedforward }, { name: "recurrent", values: event.recurrent }], sentence: `For ${event.words.at(-1)} words the feed-forward network has ${number(event.feedforward.at(-1))} parameters, the recurrent network ${number(event.recurrent.at(-1))}, as for one word.` });
    }
    if (event.event === "refusal") refusalPlace.textContent = `Built for ${event.fits} words and given ${event.words}, it says: “${event.message}”. The recurrent network answers with ${event.recurrent[1]} states of ${event.recurrent[2]} numbers.`;
    if (event.event === "pasts") pastsPlace.textContent = `One ball comes from the left, one from the right; the last image is ${event.same_image ? "the same" : "not the same"}. The places that the feed-forward network expects next are ${number(100 * event.apart.feedforward)} % of the box apart, those of the recurrent network ${number(100 * event.apart.gru)} %.`;
  });

  // The unit
  const wires = {};
  const drawing = svg("svg", { viewBox: "0 0 360 150", role: "img" });
  drawing.style.width = "100%";
  drawing.style.maxWidth = "34rem";
  function wire(name, d, x, y) {
    const group = svg("g", { fill: "none", stroke: "currentColor", "stroke-width": 1.5 });
    group.append(svg("path", { d, "marker-end": "url(#tip)" }), svg("text", { x, y, "font-size": 13, fill: "currentColor", stroke: "none" }, name));
    wires[name] = group;
    drawing.append(group);
  }
  const tip = svg("marker", { id: "tip", viewBox: "0 0 6 6", refX: 5, refY: 3, markerWidth: 5, markerHeight: 5, orient: "auto" });
  tip.append(svg("path", { d: "M0,0L6,3L0,6z", fill: "currentColor" }));
  drawing.append(tip);
  wire("W_hx", "M52,95H138", 80, 88);
  wire("W_hh", "M196,75C216,8 124,8 144,75", 156, 20);
  wire("W_yh", "M202,95H298", 235, 88);
  wire("b_h", "M170,145V123", 176, 142);
  wire("b_y", "M320,145V119", 326, 142);
  const numbers = { x: node(30, 95, 20, "x"), h: node(170, 95, 30, "h"), y: node(320, 95, 22, "ŷ") };
  function node(cx, cy, r, name) {
    const value = svg("text", { x: cx, y: cy + 12, "text-anchor": "middle", "font-size": 12, fill: "currentColor" });
    drawing.append(svg("circle", { cx, cy, r, fill: "none", stroke: "currentColor", "stroke-width": 1.5 }), svg("text", { x: cx, y: cy - 4, "text-anchor": "middle", "font-size": 13, "font-weight": 600, fill: "currentColor" }, name), value);
    return value;
  }

  const formula = h("p", { class: "formula" });
  const scrub = h("input", { type: "range", min: 1, max: 10, step: 1, value: 1, "aria-label": "Step of time" });
  const step = h("output");
  const kind = h("strong");
  unitPlace.append(kind, drawing, h("div", { class: "scrubber" }, h("label", {}, "Step ", step), scrub), formula);
  scrub.addEventListener("input", show);

  let rows = [];
  let settings = {};
  function term(wireName, text) {
    const light = (on) => () => {
      wires[wireName].style.setProperty("stroke", on ? LIT : "");
      wires[wireName].style.setProperty("stroke-width", on ? "4" : "");
    };
    const element = h("span", { tabindex: "0", onmouseenter: light(true), onmouseleave: light(false), onfocus: light(true), onblur: light(false) }, text);
    element.style.borderBottom = "2px dotted";
    return element;
  }

  function show() {
    const row = rows[Number(scrub.value) - 1];
    if (!row) return;
    const last = rows[Number(scrub.value) - 2]?.h ?? 0;
    step.textContent = `t = ${scrub.value}`;
    numbers.x.textContent = number(row.x);
    numbers.h.textContent = number(row.h);
    numbers.y.textContent = number(row.y);
    const { w_hx, w_hh, b_h, w_yh, b_y, s_h, s_y } = settings;
    formula.replaceChildren(
      "z = ", term("W_hx", `W_hx x = ${number(w_hx)} · ${number(row.x)}`), " + ", term("W_hh", `W_hh h = ${number(w_hh)} · ${number(last)}`), " + ", term("b_h", `b_h = ${number(b_h)}`), ` = ${number(row.z)}`, h("br"),
      `h = ${s_h}(${number(row.z)}) = ${number(row.h)}`, h("br"),
      `ŷ = ${s_y}(`, term("W_yh", `W_yh h = ${number(w_yh)} · ${number(row.h)}`), " + ", term("b_y", `b_y = ${number(b_y)}`), `) = ${number(row.y)}`,
    );
    drawing.setAttribute("aria-label", `One unit at step ${scrub.value}: x ${number(row.x)}, h ${number(row.h)}, output ${number(row.y)}`);
  }

  lesson.show("break", { w_hh: 0, bits: "1000000000" });
  lesson.show("cure", { w_hx: 1, w_hh: 1, b_h: 0, s_h: "identity", bits: "1000000000" });
  lesson.changed((now) => {
    settings = now;
    const perceptron = now.w_hh === 0;
    kind.textContent = perceptron ? "W_hh = 0: a perceptron" : "A recurrent network of one unit";
    wires.W_hh.firstChild.setAttribute("stroke-dasharray", perceptron ? "4 4" : "");
    wires.W_hh.setAttribute("opacity", perceptron ? "0.5" : "1");
    lesson.ask("network.step", now, (event) => {
      if (event.event !== "steps") return;
      rows = event.steps;
      scrub.max = String(rows.length);
      show();
      const hidden = rows.map((row) => row.h);
      states.update({ series: [{ name: "x_t", values: rows.map((row) => row.x), faint: true }, { name: "h_t", values: hidden }, { name: "ŷ_t", values: rows.map((row) => row.y) }] });
      const [first, last] = [hidden[0], hidden.at(-1)];
      lesson.say(`After the first bit h is ${number(first)}, after step ${rows.length} it is ${number(last)}.`);
      if (now.bits !== "1000000000" || Math.abs(first) < 0.1) return;
      if (Math.abs(last) < 0.01 * Math.abs(first)) lesson.reach("break");
      if (Math.abs(last - first) < 0.1 && Math.abs(last) > 0.1) lesson.reach("cure");
    });
  });
}
