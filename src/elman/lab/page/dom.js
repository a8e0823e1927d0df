// Elements and numbers. Text is always text here: nothing that a server or a visitor sends becomes markup.

/** Makes an element: h("button", {class: "primary", onclick: start}, "Start"). */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** A number for people: 0.1234, 1,200, 7.2e-5; a dash where there is none. */
export function number(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (typeof value !== "number") return String(value);
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(1).replace("e+", "e");
  if (Number.isInteger(value)) return value.toLocaleString("en-US");
  return String(Number(value.toPrecision(size >= 1000 ? 5 : 3)));
}

/** Calls `fn` once, `wait` milliseconds after the last call. */
export function debounced(fn, wait) {
  let timer;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => fn(...values), wait);
  };
}

/** Calls `fn` at once, and at most every `wait` milliseconds; the last call is never lost. */
export function throttled(fn, wait) {
  let timer = null;
  let last = null;
  return function call(...values) {
    last = values;
    if (timer !== null) return;
    fn(...values);
    last = null;
    timer = setTimeout(() => {
      timer = null;
      if (last !== null) call(...last);
    }, wait);
  };
}

/** Offers `content` (a string or Blob) as a file. */
export function download(name, content, type) {
  const address = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
  h("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

/** Puts `text` on the clipboard, and says in `status` whether that worked. */
export async function copy(text, status) {
  try {
    await navigator.clipboard.writeText(text);
    status.textContent = "Copied";
  } catch {
    status.textContent = "This browser does not let pages copy";
  }
  setTimeout(() => (status.textContent = ""), 2000);
}

/** What is kept between visits: in memory where a browser keeps nothing, as for some pages of file://. */
export const memory = {
  kept: new Map(),
  get(key) {
    try {
      return localStorage.getItem(`elman.${key}`);
    } catch {
      return this.kept.get(key) ?? null;
    }
  },
  set(key, value) {
    try {
      localStorage.setItem(`elman.${key}`, value);
    } catch {
      this.kept.set(key, value);
    }
  },
};

/** Whether the visitor asked his system for less motion. */
export function still() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}
