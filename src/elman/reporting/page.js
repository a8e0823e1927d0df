"use strict";
// Reads the values of each figure from its JSON download, and shows those under the pointer.

const SVG = "http://www.w3.org/2000/svg";
const HINT = "Point at the figure, tap it, or focus it and press the arrow keys to read values.";

for (const figure of document.querySelectorAll("figure[data-panels]")) new Reader(figure);

function Reader(figure) {
  const address = figure.querySelector("a.json").getAttribute("href");
  const data = JSON.parse(decodeURIComponent(address.slice(address.indexOf(",") + 1)));
  const panels = JSON.parse(figure.dataset.panels).map((place, i) => ({ ...data.panels[i], ...place }));
  const plot = figure.querySelector(".plot");
  const svg = plot.querySelector("svg");
  const reading = figure.querySelector(".reading");
  let mark = null;
  let at = null; // {panel, column} of lines, {panel, column, row} of a map

  for (const panel of panels) if (panel.kind === "lines") panel.all = every(panel);

  plot.tabIndex = 0;
  plot.setAttribute("role", "group");
  plot.setAttribute("aria-label", data.title + ": values by the arrow keys");
  forget();
  for (const kind of ["pointermove", "pointerdown"]) plot.addEventListener(kind, follow);
  plot.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") forget(); });
  plot.addEventListener("blur", forget);
  plot.addEventListener("keydown", step);

  function follow(event) {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    const panel = panels.find((p) => point.y >= p.top && point.y <= p.bottom && point.x >= p.left && point.x <= p.right);
    if (!panel) return;
    const x = panel.xlim[0] + ((point.x - panel.left) / (panel.right - panel.left)) * (panel.xlim[1] - panel.xlim[0]);
    if (panel.kind === "map") {
      const y = panel.ylim[0] + ((panel.bottom - point.y) / (panel.bottom - panel.top)) * (panel.ylim[1] - panel.ylim[0]);
      show({ panel, column: within(Math.round(x), panel.values[0]), row: within(Math.round(y), panel.values) });
    } else if (panel.all.length) {
      show({ panel, column: nearest(panel.all, x) });
    }
  }

  function step(event) {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.key === "Escape") forget();
    if (!(event.key in moves)) return;
    event.preventDefault();
    let [x, y] = moves[event.key];
    if (!at) {
      show({ panel: panels[0], column: 0, row: 0 });
      return;
    }
    const { panel } = at;
    if (panel.xlim[0] > panel.xlim[1]) x = -x;
    if (y && (panel.kind === "lines" || at.row + y < 0 || at.row + y >= panel.values.length)) {
      const next = panels[panels.indexOf(panel) + y];
      if (!next) return;
      const row = y > 0 || next.kind === "lines" ? 0 : next.values.length - 1;
      show({ panel: next, column: within(at.column, next.all || next.values[0]), row });
      return;
    }
    show({ panel, column: within(at.column + x, panel.all || panel.values[0]), row: at.row + y });
  }

  function show(place) {
    at = place;
    const { panel, column, row } = place;
    clear();
    mark = svg.appendChild(document.createElementNS(SVG, "g"));
    mark.setAttribute("class", "mark");
    const words = panel.kind === "map" ? cell(panel, column, row) : across(panel, panel.all[column]);
    reading.replaceChildren(...words);
  }

  function cell(panel, column, row) {
    const width = (panel.right - panel.left) / panel.values[0].length;
    const height = (panel.bottom - panel.top) / panel.values.length;
    const [x, y] = [along(panel, column), down(panel, row)];
    draw("rect", { x: x - width / 2, y: y - height / 2, width, height });
    const value = panel.values[row][column];
    return [
      entry(null, panel.value, value === null ? "none" : number(value)),
      entry(null, panel.y.label, name(panel.y, row)),
      entry(null, panel.x.label, name(panel.x, column)),
    ];
  }

  function across(panel, x) {
    draw("line", { x1: along(panel, x), x2: along(panel, x), y1: panel.top, y2: panel.bottom });
    const entries = [entry(null, panel.x.label, name(panel.x, x))];
    panel.lines.forEach((line, i) => {
      const there = line.x.map((_, place) => place).filter((place) => line.y[place] !== null);
      if (!there.length) return;
      const place = there[nearest(there.map((each) => line.x[each]), x)];
      const [own, value] = [line.x[place], line.y[place]];
      const height = down(panel, value);
      const paint = panel.colors[i] === null ? "currentColor" : `var(--line-${panel.colors[i] % 6})`;
      if (Number.isFinite(height)) draw("circle", { cx: along(panel, own + panel.shifts[i]), cy: height, r: 2.6, fill: paint });
      let text = number(value);
      if (line.low) text += ` (${number(line.low[place])} to ${number(line.high[place])})`;
      if (Math.abs(own - x) > 0.5) text += ` at ${name(panel.x, own)}`;
      entries.push(entry(paint, line.label || panel.y.label, text));
    });
    for (const rule of panel.rules)
      if ("horizontal" in rule) entries.push(entry(null, rule.label, number(rule.horizontal)));
    return entries;
  }

  function draw(kind, attributes) {
    const shape = mark.appendChild(document.createElementNS(SVG, kind));
    for (const [key, value] of Object.entries(attributes)) {
      if (key === "fill") shape.style.fill = value;
      else shape.setAttribute(key, value);
    }
  }

  function clear() {
    if (mark) mark.remove();
    mark = null;
  }

  function forget() {
    clear();
    at = null;
    reading.textContent = HINT;
  }
}

function entry(paint, label, text) {
  const made = document.createElement("span");
  if (paint) made.appendChild(document.createElement("i")).style.background = paint;
  made.append(label ? `${label} ` : "");
  made.appendChild(document.createElement("b")).textContent = text;
  return made;
}

function every(panel) {
  return [...new Set(panel.lines.flatMap((line) => line.x))].sort((a, b) => a - b);
}

function nearest(values, x) {
  let best = 0;
  values.forEach((value, i) => { if (Math.abs(value - x) < Math.abs(values[best] - x)) best = i; });
  return best;
}

function within(place, values) {
  return Math.max(0, Math.min(values.length - 1, place));
}

function along(panel, x) {
  const [low, high] = panel.xlim;
  return panel.left + ((x - low) / (high - low)) * (panel.right - panel.left);
}

function down(panel, y) {
  const scale = panel.log ? Math.log10 : Number;
  const [low, high] = panel.ylim.map(scale);
  return panel.bottom - ((scale(y) - low) / (high - low)) * (panel.bottom - panel.top);
}

function name(axis, place) {
  return axis.names ? axis.names[Math.round(place)].replace("\n", ", ") : number(place);
}

function number(value) {
  if (value === null) return "unknown";
  if (Number.isInteger(value)) return value.toLocaleString("en-US");
  return String(Number(value.toPrecision(4)));
}
