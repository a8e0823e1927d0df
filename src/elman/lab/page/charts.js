// Charts: lines (uPlot), bars, heat, dots (canvas). Each has a sentence, values under the pointer and by arrow keys, a table
// behind a button, and downloads as CSV and PNG. Each returns {update(data), element}.
import { figure, surface, theme } from "./figure.js";
import { h, number } from "./dom.js";
import uPlot from "./vendor/uPlot.esm.js";

const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3], [14, 5], [5, 2, 2, 2, 2, 2], [1, 4]];

/**
 * Curves. `spec` and `update` take {title, x: {label, log, values, start}, y: {label, log, min, max},
 * series: [{name, values, x, dash, color, tone, faint}], marks: [{x, label}], levels: [{y, label}], zones: [{from, to, label, color}], sentence}.
 * Curves without x are drawn over x.values, or over x.start, x.start + 1, ... (start = 0). null is a gap.
 * `tone` is the place in the palette (the curve's own otherwise); `faint` curves have no entry in the legend.
 * Drag to zoom, double click or 0 to see all again; arrow keys walk along the curve, + and - zoom.
 */
export function lines(element, spec) {
  let now = { ...spec };
  let chart = null;
  let drawn = "";
  let zoomed = false;
  let width = 0;
  const hidden = new Set();
  const parts = figure(element, {
    title: spec.title,
    table,
    image: () => chart?.ctx.canvas,
    keys: "Arrow keys read values, + and − zoom, 0 shows all.",
  });
  const legend = h("div", { class: "legend" });
  parts.plot.before(legend);

  function draw() {
    const none = !now.series.some(({ values }) => values.some((value) => Number.isFinite(value)));
    parts.empty(none);
    if (now.title) parts.rename(now.title);
    if (none) return parts.say(now.sentence ?? "Nothing to show yet.");
    const data = joined(now);
    const shape = JSON.stringify([now.x?.log, now.y, now.title, now.series.map(({ name, dash, color, tone, faint }) => [name, dash, color, tone, faint])]);
    if (chart && shape === drawn) {
      chart.setData(data, false);
      rescale(data);
    } else {
      build(data);
      drawn = shape;
    }
    return parts.say(now.sentence ?? described(now));
  }

  function rescale(data) {
    if (zoomed) return chart.redraw();
    chart.setScale("x", extent(data[0], now.x?.log)); // which draws, and fits y
    return undefined;
  }

  function build(data) {
    chart?.destroy();
    width = parts.plot.clientWidth || 600;
    chart = new uPlot(options(now, hidden, width, parts, (is) => (zoomed = is)), data, parts.plot);
    const named = now.series.filter(({ faint }) => !faint);
    legend.replaceChildren(...(named.length > 1 ? named.map((item) => switchOf(item, now.series.indexOf(item))) : []));
  }

  function switchOf(item, index) {
    const flip = (event) => {
      const off = !hidden.has(item.name);
      if (off) hidden.add(item.name);
      else hidden.delete(item.name);
      event.currentTarget.setAttribute("aria-pressed", String(!off));
      chart.setSeries(index + 1, { show: !off });
    };
    return h("button", { type: "button", class: "switch", "aria-pressed": String(!hidden.has(item.name)), onclick: flip }, sample(item, index), item.name);
  }

  function table() {
    const data = joined(now);
    const rows = data[0].map((x, index) => [x, ...data.slice(1).map((values) => values[index])]);
    return { columns: [now.x?.label ?? "x", ...now.series.map(({ name }) => name)], rows };
  }

  parts.plot.addEventListener("keydown", (event) => {
    if (!chart || !walk(chart, event, (is) => (zoomed = is))) return;
    event.preventDefault();
  });
  parts.onResize(() => {
    if (!chart || !parts.plot.clientWidth || parts.plot.clientWidth === width) return;
    width = parts.plot.clientWidth;
    chart.setSize({ width, height: height(width) });
  });
  parts.onTheme(() => chart && build(joined(now)));
  now.series ??= [];
  draw();
  return {
    element: parts.element,
    update(data) {
      now = { ...now, ...data };
      draw();
    },
  };
}

const height = (width) => (width < 480 ? 220 : 280);

function options(spec, hidden, width, parts, onZoom) {
  const colors = theme();
  const axis = (label, log) => ({
    label,
    labelSize: 22,
    labelFont: "13px system-ui, sans-serif",
    font: "12px system-ui, sans-serif",
    stroke: colors.text,
    grid: { stroke: colors.grid, width: 1 },
    ticks: { stroke: colors.grid, width: 1 },
    values: (_, splits) => splits.map((value) => (value === null ? "" : tick(value, log))),
    ...(log ? { splits: (_, __, min, max) => decades(min, max), filter: (_, splits) => splits } : {}),
  });
  return {
    width,
    height: height(width),
    legend: { show: false },
    padding: [12, 14, 0, 0],
    cursor: { drag: { x: true, y: false, setScale: true }, points: { size: 7 }, y: false },
    scales: {
      x: { time: false, distr: spec.x?.log ? 3 : 1 },
      y: { distr: spec.y?.log ? 3 : 1, range: (_, min, max) => span(spec, min, max) },
    },
    axes: [axis(spec.x?.label ?? "", spec.x?.log), { ...axis(spec.y?.label ?? "", spec.y?.log), size: 58 }],
    series: [
      {},
      ...spec.series.map((item, index) => ({
        label: item.name,
        show: !hidden.has(item.name),
        stroke: strokeOf(item, index, colors),
        alpha: item.faint ? 0.4 : 1,
        width: item.faint ? 1 : 2,
        dash: dashes(item, index),
        spanGaps: item.x !== undefined || spec.gaps === false,
        points: { show: !item.faint && item.values.filter((value) => value !== null).length < 25, size: 5 },
      })),
    ],
    hooks: {
      drawClear: [(plot) => paintZones(plot, spec, colors)],
      draw: [(plot) => paintMarks(plot, spec, colors)],
      setCursor: [(plot) => parts.read(values(plot, spec))],
      setSelect: [(plot) => plot.select.width > 4 && onZoom(true)],
      ready: [(plot) => plot.over.addEventListener("dblclick", () => onZoom(false))],
    },
  };
}

function dashes(item, index) {
  if (Array.isArray(item.dash)) return item.dash;
  return DASHES[(item.tone ?? index) % DASHES.length];
}

function strokeOf(item, index, colors) {
  return item.color ?? colors.lines[(item.tone ?? index) % colors.lines.length];
}

function sample(item, index) {
  const mark = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
  for (const [name, value] of Object.entries({ width: 28, height: 8, "aria-hidden": "true" })) mark.setAttribute(name, value);
  const colors = theme();
  const drawing = { x1: 0, x2: 28, y1: 4, y2: 4, stroke: strokeOf(item, index, colors), "stroke-width": 3, "stroke-dasharray": dashes(item, index).join(" ") };
  for (const [name, value] of Object.entries(drawing)) line.setAttribute(name, value);
  mark.append(line);
  return mark;
}

/** uPlot's columns: the x of all curves together, and each curve's values there. */
function joined(spec) {
  const clean = (values) => values.map((value) => (Number.isFinite(value) && !(spec.y?.log && value <= 0) ? value : null));
  const start = spec.x?.start ?? 0;
  const steps = (count) => Array.from({ length: count }, (_, index) => start + index);
  if (spec.series.some(({ x }) => x))
    return uPlot.join(spec.series.map(({ x, values }) => [x ?? steps(values.length), clean(values)]));
  const longest = Math.max(0, ...spec.series.map(({ values }) => values.length));
  const x = spec.x?.values ?? steps(longest);
  return [x, ...spec.series.map(({ values }) => x.map((_, index) => clean(values)[index] ?? null))];
}

function extent(xs, log) {
  const usable = log ? xs.filter((x) => x > 0) : xs;
  if (!usable.length) return { min: log ? 1 : 0, max: log ? 10 : 1 };
  const [min, max] = [Math.min(...usable), Math.max(...usable)];
  return min === max ? { min: log ? min / 2 : min - 1, max: log ? max * 2 : max + 1 } : { min, max };
}

function span(spec, min, max) {
  const levels = (spec.levels ?? []).map(({ y }) => y).filter(Number.isFinite);
  let low = Math.min(min ?? Infinity, ...levels);
  let high = Math.max(max ?? -Infinity, ...levels);
  if (spec.y?.log) {
    if (!(low > 0) || !Number.isFinite(high)) [low, high] = [spec.y?.min ?? 0.1, spec.y?.max ?? 10];
    low = 10 ** Math.floor(Math.log10(Math.min(low, spec.y?.min ?? low)) - 0.05);
    high = 10 ** Math.ceil(Math.log10(Math.max(high, spec.y?.max ?? high)) + 0.05);
    return [low, high];
  }
  if (!Number.isFinite(low) || !Number.isFinite(high)) [low, high] = [0, 1];
  const pad = (high - low || Math.abs(high) || 1) * 0.08;
  return [spec.y?.min ?? low - pad, spec.y?.max ?? high + pad];
}

function decades(min, max) {
  const [low, high] = [Math.ceil(Math.log10(min) - 1e-6), Math.floor(Math.log10(max) + 1e-6)];
  const step = Math.max(1, Math.ceil((high - low) / 6));
  const powers = [];
  for (let power = Math.ceil(low / step) * step; power <= high; power += step) powers.push(Number(`1e${power}`));
  return powers.length > 1 ? powers : [min, max];
}

function tick(value, log) {
  if (!log) return number(Number(value.toPrecision(6)));
  const power = Math.log10(value);
  if (Math.abs(power - Math.round(power)) > 1e-6) return number(value);
  return Math.abs(power) < 4 ? String(Number(`1e${Math.round(power)}`)) : `1e${Math.round(power)}`;
}

function paintZones(plot, spec, colors) {
  const { left, top, width, height: tall } = plot.bbox;
  for (const zone of spec.zones ?? []) {
    const y = (value) => Math.min(Math.max(plot.valToPos(value, "y", true), top), top + tall);
    const [upper, lower] = [zone.to === undefined ? top : y(zone.to), zone.from === undefined ? top + tall : y(zone.from)];
    plot.ctx.fillStyle = colors.zones[zone.color] ?? colors.grid;
    plot.ctx.fillRect(left, upper, width, Math.max(0, lower - upper));
    if (lower - upper > 16 * devicePixelRatio) write(plot, zone.label, left + 6 * devicePixelRatio, upper + 14 * devicePixelRatio, colors);
  }
}

function paintMarks(plot, spec, colors) {
  const { left, top, width, height: tall } = plot.bbox;
  const { ctx } = plot;
  ctx.save();
  ctx.strokeStyle = colors.text;
  ctx.lineWidth = devicePixelRatio;
  ctx.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
  const stroke = (...points) => {
    ctx.beginPath();
    points.forEach(([x, y], index) => (index ? ctx.lineTo(x, y) : ctx.moveTo(x, y)));
    ctx.stroke();
  };
  for (const { x, label } of spec.marks ?? []) {
    const place = plot.valToPos(x, "x", true);
    if (!(place >= left && place <= left + width)) continue;
    stroke([place, top], [place, top + tall]);
    const right = place > left + 0.7 * width;
    write(plot, label, place + (right ? -5 : 5) * devicePixelRatio, top + 13 * devicePixelRatio, colors, right ? "right" : "left");
  }
  for (const [index, { y, label }] of (spec.levels ?? []).entries()) {
    const place = plot.valToPos(y, "y", true);
    if (!(place >= top && place <= top + tall)) continue;
    stroke([left, place], [left + width, place]);
    // Left and right in turn, since baselines are often close to each other.
    const right = index % 2 === 0;
    write(plot, label, right ? left + width - 5 * devicePixelRatio : left + 5 * devicePixelRatio, place - 4 * devicePixelRatio, colors, right ? "right" : "left");
  }
  ctx.restore();
}

function write(plot, text, x, y, colors, align = "left") {
  if (!text) return;
  plot.ctx.font = `${12 * devicePixelRatio}px system-ui, sans-serif`;
  plot.ctx.textAlign = align;
  plot.ctx.textBaseline = "alphabetic";
  plot.ctx.fillStyle = colors.text;
  plot.ctx.fillText(text, x, y);
}

function values(plot, spec) {
  const { idx } = plot.cursor;
  if (idx === null || idx === undefined) return "";
  const curves = spec.series
    .map(({ name }, index) => [name, plot.data[index + 1]?.[idx], plot.series[index + 1]?.show])
    .filter(([, value, shown]) => shown && value !== null && value !== undefined)
    .map(([name, value]) => `${spec.series.length > 1 ? name : (spec.y?.label ?? name)} ${number(value)}`);
  return `${spec.x?.label ?? "x"} ${number(plot.data[0][idx])}: ${curves.join(", ") || "no value"}`;
}

/** Moves the cursor or the zoom by a key; false if the key means nothing here. */
function walk(plot, event, onZoom) {
  const [xs] = plot.data;
  const last = xs.length - 1;
  const at = plot.cursor.idx ?? 0;
  const go = (index) => {
    const place = Math.min(Math.max(index, 0), last);
    plot.setCursor({ left: plot.valToPos(xs[place], "x"), top: 10 });
    return true;
  };
  const zoom = (factor) => {
    const middle = xs[at];
    const { min, max } = plot.scales.x;
    plot.setScale("x", { min: middle - (middle - min) * factor, max: middle + (max - middle) * factor });
    onZoom(true);
    return true;
  };
  const big = event.shiftKey ? 10 : 1;
  switch (event.key) {
    case "ArrowRight": return go(at + big);
    case "ArrowLeft": return go(at - big);
    case "Home": return go(0);
    case "End": return go(last);
    case "+": case "=": return zoom(0.5);
    case "-": return zoom(2);
    case "0": case "Escape":
      onZoom(false);
      plot.setScale("x", extent(xs, plot.scales.x.distr === 3));
      return true;
    default: return false;
  }
}

function described({ series, x, y }) {
  const parts = series.slice(0, 4).map(({ name, values }) => {
    const usable = values.filter((value) => Number.isFinite(value));
    if (!usable.length) return `${name}: no value yet`;
    return `${name}: ${number(usable[0])} to ${number(usable.at(-1))}`;
  });
  return `${y?.label ?? "Value"} by ${x?.label ?? "x"}. ${parts.join("; ")}.`;
}

/**
 * Horizontal bars: {title, labels: [...], series: [{name, values}], x: {label, max, min}, sentence, best: index or none}.
 */
export function bars(element, spec) {
  let now = { labels: [], series: [], ...spec };
  const count = () => now.labels.length * Math.max(1, now.series.length);
  const parts = figure(element, {
    title: spec.title,
    table: () => ({
      columns: ["", ...now.series.map(({ name }) => name)],
      rows: now.labels.map((label, index) => [label, ...now.series.map(({ values }) => values[index])]),
    }),
    keys: "Arrow keys read values.",
  });
  const row = () => Math.max(18, 8 + 18 * now.series.length);
  const canvas = surface(parts, {
    height: () => now.labels.length * row() + (now.series.length > 1 ? 22 : 4),
    paint(ctx, width, colors, chosen) {
      ctx.font = "13px system-ui, sans-serif";
      ctx.textBaseline = "middle";
      const left = Math.min(width * 0.4, 12 + Math.max(20, ...now.labels.map((label) => ctx.measureText(String(label)).width)));
      const usable = now.series.flatMap(({ values }) => values).filter(Number.isFinite);
      const low = Math.min(0, now.x?.min ?? 0, ...usable);
      const high = Math.max(now.x?.max ?? 0, ...usable) || 1;
      const scale = (width - left - 66) / (high - low || 1);
      const zero = left - low * scale;
      now.labels.forEach((label, index) => {
        const top = index * row();
        ctx.fillStyle = colors.text;
        ctx.textAlign = "right";
        ctx.font = `${index === now.best ? "bold " : ""}13px system-ui, sans-serif`;
        ctx.fillText(clip(ctx, String(label), left - 10), left - 8, top + row() / 2);
        ctx.font = "13px system-ui, sans-serif";
        now.series.forEach(({ values, color }, curve) => {
          const value = values[index];
          const y = top + 4 + curve * 18;
          ctx.fillStyle = color ?? colors.lines[curve % colors.lines.length];
          const long = Number.isFinite(value) ? value * scale : 0;
          ctx.fillRect(Math.min(zero, zero + long), y, Math.max(1, Math.abs(long)), 14);
          ctx.fillStyle = colors.text;
          ctx.textAlign = "left";
          ctx.fillText((now.x?.format ?? number)(value), Math.max(zero, zero + long) + 6, y + 7);
          if (chosen === index * now.series.length + curve) outline(ctx, left, y - 1, width - left - 2, 16, colors);
        });
      });
      if (now.series.length > 1) {
        let x = left;
        now.series.forEach(({ name, color }, curve) => {
          const y = now.labels.length * row() + 12;
          ctx.fillStyle = color ?? colors.lines[curve % colors.lines.length];
          ctx.fillRect(x, y - 6, 12, 12);
          ctx.fillStyle = colors.text;
          ctx.textAlign = "left";
          ctx.fillText(name, x + 16, y);
          x += ctx.measureText(name).width + 34;
        });
      }
    },
    at(x, y) {
      const index = Math.floor(y / row());
      const curve = Math.min(Math.floor((y % row()) / 18), now.series.length - 1);
      return index >= 0 && index < now.labels.length ? index * now.series.length + curve : null;
    },
    move: (chosen, key) => step(chosen, count(), { ArrowDown: 1, ArrowUp: -1, ArrowRight: 1, ArrowLeft: -1 }[key], key),
    describe(chosen) {
      const curve = now.series[chosen % now.series.length];
      return `${now.labels[Math.floor(chosen / now.series.length)]}: ${curve.name ? `${curve.name} ` : ""}${number(curve.values[Math.floor(chosen / now.series.length)])}`;
    },
  });
  const show = () => {
    if (now.title) parts.rename(now.title);
    parts.empty(!now.labels.length || !now.series.some(({ values }) => values.some((value) => Number.isFinite(value))));
    canvas.draw();
    const first = now.series[0];
    if (first) parts.say(now.sentence ?? (first.values.some((value) => Number.isFinite(value)) ? `Largest: ${largest(now.labels, first.values)}.` : "Nothing to show yet."));
  };
  show();
  return {
    element: parts.element,
    update(data) {
      now = { ...now, ...data };
      show();
    },
  };
}

function largest(labels, values) {
  const best = values.reduce((found, value, index) => (value > (values[found] ?? -Infinity) ? index : found), 0);
  return `${labels[best]} ${number(values[best])}`;
}

function clip(ctx, text, width) {
  if (ctx.measureText(text).width <= width) return text;
  let short = text;
  while (short.length > 1 && ctx.measureText(`${short}…`).width > width) short = short.slice(0, -1);
  return `${short}…`;
}

function outline(ctx, x, y, width, tall, colors) {
  ctx.strokeStyle = colors.focus;
  ctx.lineWidth = 2;
  ctx.strokeRect(x, y, width, tall);
}

function step(chosen, count, by, key) {
  if (!count) return null;
  if (key === "Home") return 0;
  if (key === "End") return count - 1;
  if (by === undefined) return null;
  return chosen === null ? 0 : Math.min(Math.max(chosen + by, 0), count - 1);
}

/**
 * A table of colors: {title, values: [[...]], rows: [names], columns: [names], min, max, center: 0 for two-sided colors,
 * row: "unit", column: "step", value: "gate", onChoose(row, column), sentence}.
 */
export function heat(element, spec) {
  let now = { values: [], ...spec };
  const name = (names, index) => String(names?.[index] ?? index + 1);
  const wide = () => now.values[0]?.length ?? 0;
  const parts = figure(element, {
    title: spec.title,
    table: () => ({
      columns: [`${now.row ?? "row"} \\ ${now.column ?? "column"}`, ...Array.from({ length: wide() }, (_, index) => name(now.columns, index))],
      rows: now.values.map((values, index) => [name(now.rows, index), ...values]),
    }),
    keys: "Arrow keys read cells.",
  });
  let box = null;
  const tall = () => Math.min(22, Math.max(9, Math.floor(420 / Math.max(1, now.values.length))));
  const canvas = surface(parts, {
    height: () => now.values.length * tall() + (now.columns ? 74 : 44),
    paint(ctx, width, colors, chosen) {
      ctx.font = "12px system-ui, sans-serif";
      ctx.textBaseline = "middle";
      const names = now.values.map((_, index) => name(now.rows, index));
      const left = now.rows ? Math.min(width * 0.3, 10 + Math.max(10, ...names.map((text) => ctx.measureText(text).width))) : 30;
      const cell = (width - left - 4) / Math.max(1, wide());
      box = { left, cell, tall: tall() };
      const [low, high] = limits(now);
      now.values.forEach((values, row) => {
        values.forEach((value, column) => {
          ctx.fillStyle = Number.isFinite(value) ? shade((value - low) / (high - low || 1), now.center !== undefined) : colors.grid;
          const [from, to] = [Math.round(left + column * cell), Math.round(left + (column + 1) * cell)]; // no seams
          ctx.fillRect(from, row * box.tall, to - from, box.tall);
        });
        if (box.tall >= 11 || row % 4 === 0) {
          ctx.fillStyle = colors.text;
          ctx.textAlign = "right";
          ctx.fillText(clip(ctx, names[row], left - 6), left - 5, (row + 0.5) * box.tall);
        }
      });
      columnNames(ctx, now, box, width, colors);
      key(ctx, left, now.values.length * box.tall + (now.columns ? 52 : 22), width - left, [low, high], now, colors);
      if (chosen !== null && wide()) outline(ctx, left + (chosen % wide()) * cell, Math.floor(chosen / wide()) * box.tall, cell, box.tall, colors);
    },
    at(x, y) {
      if (!box) return null;
      const [row, column] = [Math.floor(y / box.tall), Math.floor((x - box.left) / box.cell)];
      return row >= 0 && row < now.values.length && column >= 0 && column < wide() ? row * wide() + column : null;
    },
    move: (chosen, pressed) => step(chosen, now.values.length * wide(), { ArrowRight: 1, ArrowLeft: -1, ArrowDown: wide(), ArrowUp: -wide() }[pressed], pressed),
    describe: (chosen) => {
      const [row, column] = [Math.floor(chosen / wide()), chosen % wide()];
      return `${now.row ?? "row"} ${name(now.rows, row)}, ${now.column ?? "column"} ${name(now.columns, column)}: ${now.value ?? "value"} ${number(now.values[row][column])}`;
    },
    choose: (chosen) => now.onChoose?.(Math.floor(chosen / wide()), chosen % wide()),
  });
  const show = () => {
    if (now.title) parts.rename(now.title);
    parts.empty(!now.values.length);
    canvas.draw();
    if (!now.values.length) parts.say(now.sentence ?? "Nothing to show yet.");
    else parts.say(now.sentence ?? `${now.values.length} ${now.row ?? "row"}s by ${wide()} ${now.column ?? "column"}s, from ${number(limits(now)[0])} to ${number(limits(now)[1])}.`);
  };
  show();
  return {
    element: parts.element,
    update(data) {
      now = { ...now, ...data };
      show();
    },
  };
}

function columnNames(ctx, spec, box, width, colors) {
  if (!spec.columns) return;
  ctx.save();
  ctx.fillStyle = colors.text;
  ctx.textAlign = "right";
  const every = Math.ceil(14 / box.cell);
  spec.columns.forEach((text, column) => {
    if (column % every) return;
    ctx.save();
    ctx.translate(box.left + (column + 0.5) * box.cell + 3, spec.values.length * box.tall + 6);
    ctx.rotate(-Math.PI / 5);
    ctx.fillText(clip(ctx, String(text), 46), 0, 0);
    ctx.restore();
  });
  ctx.restore();
}

function key(ctx, left, y, width, [low, high], spec, colors) {
  const [from, wide] = [left + 50, Math.max(60, Math.min(160, width - 110))];
  for (let index = 0; index < wide; index++) {
    ctx.fillStyle = shade(index / wide, spec.center !== undefined);
    ctx.fillRect(from + index, y, 1.5, 10);
  }
  ctx.fillStyle = colors.text;
  ctx.textAlign = "right";
  ctx.fillText(number(low), from - 6, y + 6);
  ctx.textAlign = "left";
  ctx.fillText(number(high), from + wide + 6, y + 6);
}

function limits(spec) {
  const usable = spec.values.flat().filter(Number.isFinite);
  let low = spec.min ?? Math.min(...usable);
  let high = spec.max ?? Math.max(...usable);
  if (!usable.length) return [0, 1];
  if (spec.center !== undefined) {
    const reach = Math.max(Math.abs(low - spec.center), Math.abs(high - spec.center)) || 1;
    [low, high] = [spec.center - reach, spec.center + reach];
  }
  return low === high ? [low - 0.5, high + 0.5] : [low, high];
}

const CIVIDIS = [[0, 34, 78], [36, 62, 108], [90, 97, 113], [123, 123, 120], [160, 152, 117], [205, 186, 96], [254, 232, 56]];
const TWO_SIDED = [[0, 90, 160], [86, 160, 215], [236, 236, 232], [235, 140, 80], [190, 70, 0]];

/** A color for 0 to 1: from dark blue to yellow, or from blue over white to red. */
export function shade(part, twoSided = false) {
  const stops = twoSided ? TWO_SIDED : CIVIDIS;
  const place = Math.min(Math.max(part, 0), 1) * (stops.length - 1);
  const index = Math.min(Math.floor(place), stops.length - 2);
  const mixed = stops[index].map((from, channel) => Math.round(from + (stops[index + 1][channel] - from) * (place - index)));
  return `rgb(${mixed.join(",")})`;
}

/** Points with names: {title, points: [{x, y, name, group}], x: {label}, y: {label}, onChoose(index), sentence}. */
export function dots(element, spec) {
  let now = { points: [], ...spec };
  const parts = figure(element, {
    title: spec.title,
    table: () => ({ columns: ["name", now.x?.label ?? "x", now.y?.label ?? "y"], rows: now.points.map(({ name, x, y }) => [name ?? "", x, y]) }),
    keys: "Arrow keys read points.",
  });
  let places = [];
  const canvas = surface(parts, {
    height: (width) => Math.min(420, Math.max(260, width * 0.6)),
    paint(ctx, width, colors, chosen) {
      const tall = canvas.tall;
      const edge = { left: 44, right: 14, top: 14, bottom: 40 };
      const [x0, x1] = padded(now.points.map(({ x }) => x));
      const [y0, y1] = padded(now.points.map(({ y }) => y));
      const groups = [...new Set(now.points.map(({ group }) => group))];
      places = now.points.map(({ x, y }) => [
        edge.left + ((x - x0) / (x1 - x0)) * (width - edge.left - edge.right),
        tall - edge.bottom - ((y - y0) / (y1 - y0)) * (tall - edge.top - edge.bottom),
      ]);
      ctx.font = "12px system-ui, sans-serif";
      ctx.strokeStyle = colors.grid;
      ctx.strokeRect(edge.left, edge.top, width - edge.left - edge.right, tall - edge.top - edge.bottom);
      ctx.fillStyle = colors.text;
      ctx.textAlign = "center";
      ctx.textBaseline = "alphabetic";
      ctx.fillText(`${now.x?.label ?? "x"}  (${number(x0)} to ${number(x1)})`, (edge.left + width - edge.right) / 2, tall - 12);
      ctx.save();
      ctx.translate(16, (tall - edge.bottom + edge.top) / 2);
      ctx.rotate(-Math.PI / 2);
      ctx.fillText(`${now.y?.label ?? "y"}  (${number(y0)} to ${number(y1)})`, 0, 0);
      ctx.restore();
      const taken = [];
      now.points.forEach(({ name, group }, index) => {
        const [x, y] = places[index];
        ctx.fillStyle = colors.lines[groups.indexOf(group) % colors.lines.length];
        ctx.beginPath();
        if (groups.indexOf(group) % 2) ctx.rect(x - 5, y - 5, 10, 10);
        else ctx.arc(x, y, 5, 0, 2 * Math.PI);
        ctx.fill();
        if (chosen === index) {
          ctx.strokeStyle = colors.focus;
          ctx.lineWidth = 3;
          ctx.beginPath();
          ctx.arc(x, y, 9, 0, 2 * Math.PI);
          ctx.stroke();
        }
        if (!name) return;
        // A name is drawn only where it covers no other: all of them are in the table and under the pointer.
        const wide = ctx.measureText(name).width;
        const place = [x + wide + 12 > width ? x - wide - 9 : x + 9, y - 8, wide, 14];
        if (chosen !== index && taken.some(([a, b, c]) => Math.abs(b - place[1]) < 14 && a < place[0] + wide && place[0] < a + c)) return;
        taken.push(place);
        ctx.fillStyle = colors.text;
        ctx.textAlign = "left";
        ctx.fillText(name, place[0], y + 4);
      });
    },
    at(x, y) {
      let best = null;
      let near = 20 ** 2;
      places.forEach(([a, b], index) => {
        const far = (a - x) ** 2 + (b - y) ** 2;
        if (far < near) [best, near] = [index, far];
      });
      return best;
    },
    move: (chosen, pressed) => step(chosen, now.points.length, { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[pressed], pressed),
    describe: (chosen) => `${now.points[chosen].name ?? `point ${chosen + 1}`}: ${now.x?.label ?? "x"} ${number(now.points[chosen].x)}, ${now.y?.label ?? "y"} ${number(now.points[chosen].y)}`,
    choose: (chosen) => now.onChoose?.(chosen),
  });
  const show = () => {
    if (now.title) parts.rename(now.title);
    parts.empty(!now.points.length);
    canvas.draw();
    parts.say(now.sentence ?? (now.points.length ? `${now.points.length} points.` : "Nothing to show yet."));
  };
  show();
  return {
    element: parts.element,
    update(data) {
      now = { ...now, ...data };
      show();
    },
  };
}

function padded(values) {
  const usable = values.filter(Number.isFinite);
  if (!usable.length) return [0, 1];
  const [low, high] = [Math.min(...usable), Math.max(...usable)];
  const pad = (high - low || 1) * 0.08;
  return [low - pad, high + pad];
}
