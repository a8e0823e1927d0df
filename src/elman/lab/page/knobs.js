// Knobs: native inputs whose values stand in the address, with a place for the message that refuses a value.
import { debounced, h, number } from "./dom.js";

let used = 0;

/**
 * A set of knobs in `element`. `address` is {read(), write(settings)}, the settings of the address;
 * `recorded(name)` gives the only values that a replay has, or none.
 *
 * range, choice, text, toggle each return a knob: {name, value, set(value), element}.
 */
export function knobs(element, { address, recorded = () => [] }) {
  const all = new Map();
  const listeners = new Set();
  const first = new Map();
  const given = address.read();

  const settings = () => Object.fromEntries([...all].map(([name, knob]) => [name, knob.value]));
  const write = () => address.write(settings());
  const tell = debounced(() => listeners.forEach((listener) => listener(settings())), 150);
  function moved() {
    clear();
    write();
    tell();
  }

  function add(knob, start) {
    all.set(knob.name, knob);
    first.set(knob.name, start);
    knob.set(given[knob.name] !== undefined ? knob.parse(given[knob.name]) : start, true);
    element.append(knob.element);
    return knob;
  }

  function frame(name, label, hint) {
    const id = `knob-${name}-${++used}`;
    const problem = h("p", { class: "problem", id: `${id}-problem`, role: "alert" });
    const note = hint ? h("p", { class: "hint", id: `${id}-hint` }, hint) : null;
    return { id, problem, note, label: h("label", { for: id }, label) };
  }

  /** `unset` is a word for no value: the first place of the slider, whose value is null. */
  function range({ name, label, min, max, step, value, log = false, whole = false, format: written = number, unset, hint }) {
    const only = recorded(name).filter((item) => typeof item === "number");
    const fixed = only.length === 1; // a slider of one value would seem to move
    const full = only.length ? listed(only) : log ? logarithmic(min, max, step, whole) : linear(min, max, step);
    const scale = unset === undefined ? full : optional(full);
    const format = (item) => (item === null ? unset : written(item));
    const { id, problem, note, label: title } = frame(name, label, fixed ? "Recorded at this value. `elman lab` moves it." : hint);
    const output = h("output", { for: id });
    const input = h("input", { id, name, type: "range", min: scale.min, max: scale.max, step: scale.step, disabled: fixed });
    input.setAttribute("aria-describedby", `${problem.id}${note ? ` ${note.id}` : ""}`);
    const knob = {
      name,
      problem,
      input,
      element: h("div", { class: "knob", "data-knob": name }, h("div", { class: "knob-head" }, title, output), input, note, problem),
      get value() {
        return scale.value(Number(input.value));
      },
      parse: (text) => (text === "null" ? null : Number(text)),
      set(next, quiet = false) {
        input.value = scale.place(next);
        show();
        if (!quiet) moved();
      },
    };
    function show() {
      output.textContent = format(knob.value);
      input.setAttribute("aria-valuetext", `${format(knob.value)}`);
    }
    input.addEventListener("input", () => {
      show();
      moved();
    });
    return add(knob, value);
  }

  /** An option is a value, or {value, label}; null is a value. */
  function choice({ name, label, options, value, hint, format = String }) {
    const only = recorded(name).map(String);
    const items = options
      .map((item) => (item !== null && typeof item === "object" ? { value: item.value, label: item.label ?? String(item.value) } : { value: item, label: format(item) }))
      .filter((item) => !only.length || only.includes(String(item.value)));
    const find = (text) => (items.find((item) => String(item.value) === String(text)) ?? items[0]).value;
    return items.length > 5 ? select(items, find) : pills(items, find);

    function pills(items, find) {
      const { id, problem, note } = frame(name, label, hint);
      const inputs = items.map((item, index) => h("input", { type: "radio", id: `${id}-${index}`, name: id, value: String(item.value), onchange: moved }));
      const labels = inputs.map((input, index) => h("span", { class: "pill" }, input, h("label", { for: input.id }, items[index].label)));
      const group = h("fieldset", { class: "knob", "data-knob": name, "aria-describedby": problem.id }, h("legend", {}, label), h("div", { class: "pills" }, labels), note, problem);
      return add({
        name,
        problem,
        input: inputs[0],
        element: group,
        get value() {
          return find(inputs.find((input) => input.checked)?.value);
        },
        parse: find,
        set(next, quiet = false) {
          for (const input of inputs) input.checked = input.value === String(find(next));
          if (!quiet) moved();
        },
      }, value === undefined ? items[0].value : value);
    }

    function select(items, find) {
      const { id, problem, note, label: title } = frame(name, label, hint);
      const input = h("select", { id, name, "aria-describedby": problem.id, onchange: moved }, items.map((item) => h("option", { value: String(item.value) }, item.label)));
      return add({
        name,
        problem,
        input,
        element: h("div", { class: "knob", "data-knob": name }, title, input, note, problem),
        get value() {
          return find(input.value);
        },
        parse: find,
        set(next, quiet = false) {
          input.value = String(find(next));
          if (!quiet) moved();
        },
      }, value === undefined ? items[0].value : value);
    }
  }

  function text({ name, label, value = "", rows = 1, max = 2000, hint }) {
    const { id, problem, note, label: title } = frame(name, label, hint);
    const common = { id, name, maxlength: max, spellcheck: "false", autocomplete: "off", "aria-describedby": problem.id, oninput: moved };
    const input = rows > 1 ? h("textarea", { ...common, rows }) : h("input", { ...common, type: "text" });
    return add({
      name,
      problem,
      input,
      element: h("div", { class: "knob", "data-knob": name }, title, input, note, problem),
      get value() {
        return input.value;
      },
      parse: String,
      set(next, quiet = false) {
        input.value = String(next);
        if (!quiet) moved();
      },
    }, value);
  }

  function toggle({ name, label, value = false, hint }) {
    const { id, problem, note, label: title } = frame(name, label, hint);
    const input = h("input", { id, name, type: "checkbox", "aria-describedby": problem.id, onchange: moved });
    return add({
      name,
      problem,
      input,
      element: h("div", { class: "knob toggle", "data-knob": name }, h("span", { class: "check" }, input, title), note, problem),
      get value() {
        return input.checked;
      },
      parse: (item) => item === true || item === "true",
      set(next, quiet = false) {
        input.checked = Boolean(next);
        if (!quiet) moved();
      },
    }, value);
  }

  function button(label, action, { primary = false } = {}) {
    const made = h("button", { type: "button", class: primary ? "primary" : null, onclick: action }, label);
    element.append(made);
    return made;
  }

  function clear() {
    for (const knob of all.values()) {
      knob.problem.textContent = "";
      knob.input.removeAttribute("aria-invalid");
    }
  }

  return {
    range,
    choice,
    text,
    toggle,
    button,
    settings,
    /** Sets several knobs at once, and tells once. */
    set(values) {
      for (const [name, value] of Object.entries(values)) all.get(name)?.set(value, true);
      moved();
    },
    reset: () => {
      for (const [name, knob] of all) knob.set(first.get(name), true);
      moved();
    },
    /** Calls fn(settings) now, and 150 ms after the last change. */
    changed(listener) {
      listeners.add(listener);
      listener(settings());
      return () => listeners.delete(listener);
    },
    /** Shows or hides a knob; a hidden one keeps its value. */
    visible(name, is) {
      const knob = all.get(name);
      if (knob) knob.element.hidden = !is;
    },
    /** Shows the message of an error at the knob that it names; false if no such knob is seen. */
    refuse(name, message) {
      const knob = all.get(name);
      if (!knob || knob.element.hidden) return false;
      knob.problem.textContent = message;
      knob.input.setAttribute("aria-invalid", "true");
      return true;
    },
    /** Takes the settings of an address that was changed by hand or by going back. */
    follow() {
      const next = address.read();
      let different = false;
      for (const [name, knob] of all) {
        const wanted = next[name] !== undefined ? knob.parse(next[name]) : first.get(name);
        if (String(wanted) === String(knob.value)) continue;
        knob.set(wanted, true);
        different = true;
      }
      if (different) tell();
    },
  };
}

function linear(min, max, step = (max - min) / 100) {
  const digits = Math.max(0, Math.ceil(-Math.log10(step)) + 1);
  return { min, max, step, value: (place) => Number(place.toFixed(digits)), place: (value) => value };
}

/** A slider in powers: `step` is a factor, as 1.1; the values have three digits. */
function logarithmic(min, max, step = 10 ** 0.05, whole = false) {
  const factor = step > 1 ? step : 10 ** 0.05;
  const places = Math.round(Math.log(max / min) / Math.log(factor));
  const value = (place) => {
    const exact = Number((min * (max / min) ** (place / places)).toPrecision(3));
    return whole ? Math.round(exact) : exact;
  };
  return { min: 0, max: places, step: "any", value, place: (wanted) => (places * Math.log(Math.max(wanted, min) / min)) / Math.log(max / min) };
}

/** A scale with one more place before its first, for no value. */
function optional(scale) {
  const step = scale.step === "any" ? (scale.max - scale.min) / 100 : scale.step;
  const min = scale.min - step;
  return {
    ...scale,
    min,
    step,
    value: (place) => (place < scale.min - step / 2 ? null : scale.value(Math.max(place, scale.min))),
    place: (value) => (value === null ? min : scale.place(value)),
  };
}

function listed(values) {
  const near = (wanted) => values.reduce((best, value, index) => (Math.abs(value - wanted) < Math.abs(values[best] - wanted) ? index : best), 0);
  return { min: 0, max: values.length - 1, step: 1, value: (place) => values[Math.round(place)], place: near };
}
