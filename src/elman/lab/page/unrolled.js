// A recurrent network over time: a box a step, colored by how much of the gradient of the loss reaches it.
import { figure, surface } from "./figure.js";
import { h, number, still } from "./dom.js";
import { shade } from "./charts.js";

const DECADES = 4; // the colors end at 1e-4 and 1e4 times the gradient at the last step

/**
 * {title, gradient: [||dL/dh_t||, first step first], states: [[h of each unit] for each step] or none, inputs: [names], outputs: [names],
 * step: chosen step or null, onStep(step), sentence}. Colors: ||dL/dh_t|| over that of the last step that has one; blue vanishes, red explodes.
 */
export function unrolled(element, spec) {
  let now = { title: "The network over time", gradient: [], ...spec };
  const parts = figure(element, {
    title: now.title,
    table: () => ({ columns: ["step", "‖dL/dh‖"], rows: now.gradient.map((value, index) => [index + 1, value]) }),
    keys: "Arrow keys walk over the steps.",
  });
  const play = h("button", { type: "button", onclick: walk }, "Play back");
  const scrubber = h("input", { type: "range", min: 1, max: 1, step: 1, "aria-label": "Step of time" });
  scrubber.addEventListener("input", () => clearInterval(timer) ?? choose(Number(scrubber.value) - 1));
  parts.plot.after(h("div", { class: "scrubber" }, play, scrubber));
  let box = null;

  const canvas = surface(parts, {
    height: (width) => {
      const lanes = rowsOf(width);
      const strip = now.states?.length ? stripHeight() + 34 : 0;
      return lanes.count * lanes.tall + strip + 34;
    },
    paint(ctx, width, colors, chosen) {
      const lanes = rowsOf(width);
      const reference = last(now.gradient);
      box = lanes;
      now.gradient.forEach((value, index) => {
        const [x, y] = [(index % lanes.across) * lanes.wide, Math.floor(index / lanes.across) * lanes.tall];
        drawStep(ctx, { x, y, lanes, value, reference, index, spec: now }, colors, index === (now.step ?? chosen) || index === chosen);
      });
      let below = lanes.count * lanes.tall;
      if (now.states?.length) {
        ctx.fillStyle = colors.text;
        ctx.font = "12px system-ui, sans-serif";
        ctx.textAlign = "left";
        ctx.fillText(`h of ${now.states[0].length} units at each step: blue −1, red 1`, 0, below + 12);
        drawStates(ctx, now.states, { width, top: below + 24, tall: stripHeight() }, colors);
        below += stripHeight() + 34;
      }
      drawKey(ctx, width, below + 8, colors);
    },
    at(x, y) {
      if (!box) return null;
      const [column, row] = [Math.floor(x / box.wide), Math.floor(y / box.tall)];
      const index = row * box.across + column;
      return column >= 0 && column < box.across && row >= 0 && row < box.count && index < now.gradient.length ? index : null;
    },
    move(chosen, key) {
      const by = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: box?.across, ArrowUp: -(box?.across ?? 0) }[key];
      if (key === "Home") return 0;
      if (key === "End") return now.gradient.length - 1;
      if (by === undefined || !now.gradient.length) return null;
      return Math.min(Math.max((chosen ?? now.step ?? 0) + by, 0), now.gradient.length - 1);
    },
    describe: (index) => described(now, index),
    choose,
  });

  function choose(index) {
    now.step = index;
    scrubber.value = String(index + 1);
    scrubber.setAttribute("aria-valuetext", described(now, index));
    parts.read(described(now, index));
    canvas.draw();
    now.onStep?.(index);
  }

  /** Walks from the loss back to the first step, as the gradient does. */
  let timer = null;
  function walk() {
    clearInterval(timer);
    let at = now.gradient.length - 1;
    if (still()) return choose(0);
    choose(at);
    timer = setInterval(() => {
      at -= 1;
      if (at < 0 || !scrubber.isConnected) return clearInterval(timer);
      return choose(at);
    }, Math.max(30, 3000 / now.gradient.length));
    return undefined;
  }

  function rowsOf(width) {
    const count = Math.max(1, now.gradient.length);
    const most = Math.min(count, Math.max(1, Math.floor(width / 30)));
    const rows = Math.ceil(count / most);
    const across = Math.ceil(count / rows); // rows of the same length, but for the last
    const few = rows === 1;
    return { across, count: rows, wide: width / across, tall: few ? 96 : 44, few };
  }

  const stripHeight = () => Math.min(96, 3 * (now.states?.[0]?.length ?? 0));
  const show = () => {
    scrubber.max = String(Math.max(1, now.gradient.length));
    scrubber.parentElement.hidden = now.gradient.length < 2;
    canvas.draw();
    parts.rename(now.title);
    if (now.gradient.length) parts.say(now.sentence ?? sentenceOf(now.gradient));
  };
  show();
  return {
    element: parts.element,
    choose,
    update(data) {
      now = { ...now, ...data };
      if (now.step >= now.gradient.length) now.step = null;
      show();
    },
  };
}

function drawStep(ctx, { x, y, lanes, value, reference, index, spec }, colors, chosen) {
  const pad = lanes.wide > 22 ? 5 : 2;
  const [top, size] = lanes.few ? [y + 30, 34] : [y + 6, 26];
  const wide = Math.max(3, lanes.wide - 2 * pad);
  const part = place(value, reference);
  ctx.fillStyle = part === null ? colors.grid : shade(part, true);
  ctx.beginPath();
  ctx.roundRect(x + pad, top, wide, size, 5);
  ctx.fill();
  ctx.strokeStyle = chosen ? colors.focus : colors.text;
  ctx.lineWidth = chosen ? 3 : 0.75;
  ctx.stroke();
  ctx.lineWidth = 1;
  ctx.strokeStyle = colors.text;
  if (index + 1 < spec.gradient.length && pad > 3) arrow(ctx, x + pad + wide, top + size / 2, 2 * pad, 0);
  ctx.font = "11px system-ui, sans-serif";
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  if (lanes.wide >= 24 || index % 5 === 4) {
    ctx.fillStyle = part !== null && (part < 0.2 || part > 0.85) ? "#ffffff" : part === null ? colors.text : "#111111";
    ctx.fillText(String(index + 1), x + lanes.wide / 2, top + size / 2);
  }
  if (!lanes.few) return;
  ctx.fillStyle = colors.text;
  arrow(ctx, x + lanes.wide / 2, top + size + 16, 0, -12);
  arrow(ctx, x + lanes.wide / 2, top - 2, 0, -12);
  const named = (names, at) => names?.[index] !== undefined && ctx.fillText(String(names[index]), x + lanes.wide / 2, at);
  named(spec.inputs, top + size + 24);
  named(spec.outputs, top - 21);
}

function arrow(ctx, x, y, dx, dy) {
  const turn = Math.atan2(dy, dx);
  ctx.beginPath();
  ctx.moveTo(x, y);
  ctx.lineTo(x + dx, y + dy);
  for (const side of [-0.5, 0.5]) {
    ctx.moveTo(x + dx, y + dy);
    ctx.lineTo(x + dx - 4 * Math.cos(turn + side), y + dy - 4 * Math.sin(turn + side));
  }
  ctx.stroke();
}

/** A strip of units: a row a unit, a column a step. */
function drawStates(ctx, states, { width, top, tall }, colors) {
  const units = states[0].length;
  const [wide, high] = [width / states.length, tall / units];
  states.forEach((state, step) => {
    state.forEach((value, unit) => {
      ctx.fillStyle = Number.isFinite(value) ? shade(0.5 + value / 2, true) : colors.grid;
      // Whole pixels, so that no seam shows between two cells.
      const [x, y] = [Math.round(step * wide), Math.round(top + unit * high)];
      ctx.fillRect(x, y, Math.round((step + 1) * wide) - x, Math.round(top + (unit + 1) * high) - y);
    });
  });
}

function drawKey(ctx, width, y, colors) {
  const wide = Math.min(150, width - 200);
  const left = (width - wide) / 2;
  for (let index = 0; index < wide; index++) {
    ctx.fillStyle = shade(index / wide, true);
    ctx.fillRect(left + index, y, 1.5, 10);
  }
  ctx.fillStyle = colors.text;
  ctx.font = "12px system-ui, sans-serif";
  ctx.textBaseline = "middle";
  ctx.textAlign = "right";
  ctx.fillText(`vanishes 1e−${DECADES}`, left - 6, y + 5);
  ctx.textAlign = "left";
  ctx.fillText(`explodes 1e${DECADES}`, left + wide + 6, y + 5);
}

function last(gradient) {
  return gradient.findLast((value) => Number.isFinite(value) && value > 0);
}

function place(value, reference) {
  if (!Number.isFinite(value) || !reference) return null;
  if (value <= 0) return 0;
  return 0.5 + Math.log10(value / reference) / (2 * DECADES);
}

function described({ gradient, states }, index) {
  const reference = last(gradient);
  const share = reference ? ` (${number(gradient[index] / reference)} of the last step's)` : "";
  const state = states?.[index] ? `, h_1 ${number(states[index][0])}` : "";
  return `step ${index + 1}: ‖dL/dh‖ ${number(gradient[index])}${share}${state}`;
}

function sentenceOf(gradient) {
  const [first, final] = [gradient.find((value) => Number.isFinite(value)), last(gradient)];
  if (!final) return "No gradient reaches any step.";
  if (!first) return `Going back ${gradient.length - 1} steps, the gradient becomes 0.`;
  const decades = Math.log10(first / final);
  const size = Math.abs(decades) < 1 ? `changes by a factor of ${number(first / final)}` : `${decades < 0 ? "shrinks" : "grows"} by ${number(Math.abs(Number(decades.toFixed(1))))} powers of ten`;
  return `Going back ${gradient.length - 1} steps, the gradient ${size}.`;
}
