// What all charts share: a frame with a title, a sentence, a readout, a table and downloads; and a canvas with a cursor.
import { debounced, download, h, number } from "./dom.js";

const DARK = matchMedia("(prefers-color-scheme: dark)");
const LIGHT_LINES = ["#0072B2", "#C84E00", "#00805D", "#A8488A", "#8A6100", "#2B7CB0", "#000000"];
const DARK_LINES = ["#56B4E9", "#F28C3A", "#2FC79A", "#E29BC4", "#E69F00", "#F0E442", "#FFFFFF"];

/** Okabe-Ito's colors, darkened or lightened until a line stands out from its page by 4.5 : 1. */
export function theme() {
  const dark = DARK.matches;
  return {
    dark,
    lines: dark ? DARK_LINES : LIGHT_LINES,
    text: dark ? "#e8e6e1" : "#1b1b1b",
    paper: dark ? "#16181b" : "#ffffff",
    grid: dark ? "#3a3d42" : "#d9d9d6",
    focus: dark ? "#ffd166" : "#b00058",
    zones: dark
      ? { red: "rgba(242,140,58,.16)", green: "rgba(47,199,154,.14)", blue: "rgba(86,180,233,.16)" }
      : { red: "rgba(213,94,0,.12)", green: "rgba(0,158,115,.12)", blue: "rgba(0,114,178,.10)" },
  };
}

/**
 * The frame of a chart in `element`: {element, plot, say(sentence), read(values), onResize(fn), onTheme(fn)}.
 * `table()` gives {columns, rows}; `image()` gives the canvas to save.
 */
export function figure(element, { title, table, image, keys = "" }) {
  const sentence = h("p", { class: "sentence", "aria-live": "polite" });
  const readout = h("output", { class: "readout" });
  const plot = h("div", { class: "plot", tabindex: "0", role: "group", "aria-roledescription": "chart", "aria-label": `${title}. ${keys}` });
  const drawer = h("div", { class: "drawer", hidden: true });
  const name = (title || "chart").toLowerCase().replaceAll(/[^a-z0-9]+/g, "-");
  const open = h("button", { type: "button", "aria-expanded": "false", onclick: flip }, "Table");
  const tools = h(
    "div",
    { class: "tools" },
    open,
    h("button", { type: "button", onclick: () => download(`${name}.csv`, csv(table()), "text/csv") }, "CSV"),
    h("button", { type: "button", onclick: () => save(parts.image(), `${name}.png`, title) }, "PNG"),
  );
  const frame = h("figure", { class: "chart" }, h("div", { class: "chart-head" }, h("figcaption", {}, title ?? ""), tools), plot, readout, sentence, drawer);
  element.append(frame);

  function flip() {
    const shown = drawer.hidden;
    drawer.hidden = !shown;
    open.setAttribute("aria-expanded", String(shown));
    drawer.replaceChildren(...(shown ? [tabled(table(), title)] : []));
  }

  // A sentence that changes ten times a second would never be read out to its end.
  const announce = debounced((text) => (sentence.textContent = text), 250);
  const parts = {
    element: frame,
    plot,
    image,
    say(text) {
      plot.setAttribute("aria-label", `${title}. ${text} ${keys}`);
      if (!sentence.textContent) sentence.textContent = text;
      else if (sentence.textContent !== text) announce(text);
      if (!drawer.hidden) drawer.replaceChildren(tabled(table(), title));
    },
    read(text) {
      readout.textContent = text;
    },
    /** Whether there is something to draw: an empty pair of axes tells nobody anything. */
    empty(is) {
      frame.classList.toggle("empty", is);
      for (const button of tools.children) button.disabled = is;
    },
    rename(text) {
      frame.querySelector("figcaption").textContent = text;
    },
    onResize(fn) {
      new ResizeObserver(fn).observe(plot);
    },
    onTheme(fn) {
      const changed = () => (frame.isConnected ? fn() : DARK.removeEventListener("change", changed));
      DARK.addEventListener("change", changed);
    },
  };
  return parts;
}

/**
 * A canvas in a figure, sharp on any screen, with a cursor by pointer and by arrow keys.
 * `paint(ctx, width, colors, chosen)`, `height(width)`, `at(x, y)`, `move(chosen, key)`, `describe(chosen)`, `choose(chosen)`.
 */
export function surface(parts, { paint, height, at, move, describe, choose }) {
  const canvas = h("canvas", { "aria-hidden": "true" });
  const ctx = canvas.getContext("2d");
  let chosen = null;
  let asked = 0;
  parts.plot.append(canvas);
  parts.image = () => canvas;

  function draw() {
    const width = parts.plot.clientWidth;
    if (!width) return;
    const tall = Math.max(1, Math.round(height(width)));
    const ratio = devicePixelRatio || 1;
    const [wide, high] = [Math.round(width * ratio), Math.round(tall * ratio)];
    if (canvas.width !== wide || canvas.height !== high) {
      [canvas.width, canvas.height] = [wide, high];
      canvas.style.width = `${width}px`;
      canvas.style.height = `${tall}px`;
    }
    made.tall = tall;
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    ctx.clearRect(0, 0, width, tall);
    paint(ctx, width, theme(), chosen);
  }

  function later() {
    cancelAnimationFrame(asked);
    asked = requestAnimationFrame(draw);
  }

  function point(next) {
    if (next === chosen) return;
    chosen = next;
    parts.read(chosen === null ? "" : describe(chosen));
    later();
  }

  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return at(event.clientX - box.left, event.clientY - box.top);
  };
  canvas.addEventListener("pointermove", (event) => point(place(event)));
  canvas.addEventListener("pointerleave", () => point(null));
  canvas.addEventListener("click", (event) => {
    const here = place(event);
    point(here);
    if (here !== null) choose?.(here);
  });
  parts.plot.addEventListener("keydown", (event) => {
    if ((event.key === "Enter" || event.key === " ") && chosen !== null && choose) {
      event.preventDefault();
      return choose(chosen);
    }
    const next = move(chosen, event.key);
    if (next === null) return undefined;
    event.preventDefault();
    return point(next);
  });
  parts.onResize(later);
  parts.onTheme(later);
  const made = {
    tall: 0,
    draw() {
      if (chosen !== null) {
        try {
          parts.read(describe(chosen));
        } catch {
          chosen = null; // the data under the cursor are gone
          parts.read("");
        }
      }
      later();
    },
  };
  return made;
}

function tabled({ columns, rows }, title) {
  const shown = rows.slice(0, 500);
  const cells = (row) => row.map((cell, index) => (index ? h("td", {}, number(cell)) : h("th", { scope: "row" }, number(cell))));
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": `${title}: table` },
    h(
      "table",
      {},
      h("thead", {}, h("tr", {}, columns.map((column) => h("th", { scope: "col" }, column)))),
      h("tbody", {}, shown.map((row) => h("tr", {}, cells(row)))),
    ),
    rows.length > shown.length ? h("p", {}, `The first 500 of ${rows.length} rows. The CSV file has all.`) : null,
  );
}

function csv({ columns, rows }) {
  const cell = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [columns, ...rows].map((row) => row.map(cell).join(",")).join("\n") + "\n";
}

/** Saves a chart as it is seen, on the page's color and under its title. */
function save(drawn, name, title) {
  if (!drawn) return;
  const colors = theme();
  const ratio = devicePixelRatio || 1;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [drawn.width, drawn.height + 32 * ratio];
  const ctx = canvas.getContext("2d");
  ctx.fillStyle = colors.paper;
  ctx.fillRect(0, 0, canvas.width, canvas.height);
  ctx.fillStyle = colors.text;
  ctx.font = `bold ${15 * ratio}px system-ui, sans-serif`;
  ctx.fillText(title ?? "", 10 * ratio, 21 * ratio);
  ctx.drawImage(drawn, 0, 32 * ratio);
  canvas.toBlob((blob) => blob && download(name, blob));
}
