// The sandbox: a recurrence unrolled over time under one's hands. Probe at every turn of a knob; train, step, stop, compare five attempts.
import { lines } from "./charts.js";
import { copy, h, memory, number } from "./dom.js";
import { knobs } from "./knobs.js";
import { knobFor, settingsOf } from "./schema.js";
import { unrolled } from "./unrolled.js";

const ATTEMPTS = 5;
const STEPS = [1, 10, 100];
const GROUPS = {
  Data: ["data", "file", "steps", "rows"],
  Network: ["cell", "activation", "init", "radius", "forget_bias", "hidden", "layers", "seed"],
  Training: ["updates", "optimizer", "lr", "clip", "clip_limit", "k1", "k2", "batch", "baselines"],
};
const OWN_DATA = ["numbers", "labels", "text"];
const LOOK = {
  data: {
    label: "Data",
    options: [
      "adding",
      "parity",
      { value: "recall", label: "recall (I grew up in France)" },
      "echo",
      { value: "copy", label: "copy memory" },
      "digits",
      { value: "numbers", label: "your table: numbers" },
      { value: "labels", label: "your table: labels" },
      { value: "text", label: "your text" },
    ],
    hint: null,
  },
  file: { label: "Your file", when: ({ data }) => OWN_DATA.includes(data) },
  steps: { label: "Steps of time T", min: 2, max: 200, hint: null },
  rows: { label: "Training rows", log: true, hint: null, when: ({ data }) => !OWN_DATA.includes(data) },
  cell: { label: "Cell", hint: null },
  activation: { label: "Activation", unset: "tanh, its default", hint: null, when: ({ cell }) => cell === "elman" },
  init: { label: "Initialization", hint: null },
  radius: { label: "Radius: factor of W_hh", min: 0.1, max: 2, step: 0.05, hint: null },
  forget_bias: { label: "Forget bias b_f", min: -5, max: 5, step: 0.5, unset: "as initialized", hint: null, when: ({ cell }) => cell !== "elman" },
  hidden: { label: "Hidden units", log: true, min: 2, max: 256, hint: null },
  layers: { label: "Layers", hint: null },
  seed: { label: "Seed", min: 0, max: 99, step: 1, hint: null },
  updates: { label: "Updates", log: true, min: 10, max: 20000, hint: null },
  optimizer: { label: "Optimizer", hint: null },
  lr: { label: "Learning rate", log: true, min: 0.0001, max: 10, hint: null },
  clip: { label: "Clip the gradient by", hint: null },
  clip_limit: { label: "Clip at", log: true, min: 0.01, max: 100, hint: null, when: ({ clip }) => clip !== "none" },
  k1: { label: "k1: steps between backward passes", hint: null, when: ({ data }) => data === "text" },
  k2: { label: "k2: steps that the gradient flows back", unset: "k1", hint: null, when: ({ data }) => data === "text" },
  batch: { label: "Rows a batch", log: true, hint: null },
  baselines: { label: "Score the baselines at the end", hint: null },
};
const EXAMPLE = `import elman
import torch


class Leaky(elman.cells.PointwiseCell):
    """h_t = (1 - a) h_{t-1} + a tanh(z_t), with a gate a."""

    gates, states = ("z", "a"), ("h",)

    def pointwise(self, inp, rec, state):
        a = torch.sigmoid(inp.a + rec.a)
        self.watch(a=a)
        return self.State(h=(1 - a) * state.h + a * torch.tanh(inp.z + rec.z))
`;

/** Shows the sandbox in `main`; `facts` has the asks' schemas, and whether code may be typed. */
export function sandboxScreen(main, { connection, address, facts }) {
  document.title = "Sandbox · elman lab";
  const stage = h("section", { class: "stage", "aria-label": "Network and curves" });
  const panel = h("div", { class: "panel" });
  const handle = h("button", { type: "button", class: "handle", "aria-expanded": "true", onclick: () => handle.setAttribute("aria-expanded", String(!sheet.classList.toggle("closed"))) }, "Knobs");
  const sheet = h("aside", { class: "sheet", "aria-label": "Knobs" }, handle, panel);
  const trouble = h("p", { class: "trouble", role: "alert" });
  const progress = h("p", { class: "progress", role: "status" });
  const buttons = h("div", { class: "buttons" });
  const screen = h("div", { class: "sandbox begun" }, stage, sheet);
  main.replaceChildren(screen);
  stage.append(h("h1", { tabindex: "-1" }, "Sandbox"), h("p", { class: "hint" }, "A recurrent network over time. Each box is a step, and its color is how much of the gradient of the last step's loss reaches it. Turn a knob and look."));

  const set = knobs(panel, { address });
  const asks = facts.asks ?? {};
  const probed = settingsOf(asks["sandbox.probe"]);
  const trained = settingsOf(asks["sandbox.train"]);
  addKnobs(set, panel, { ...probed, ...trained }, facts);

  const network = unrolled(stage, { title: "The network over time" });
  stage.append(buttons, progress, trouble);
  const loss = lines(stage, { title: "Loss", x: { label: "update" }, y: { label: "loss", log: true }, series: [] });
  const pair = h("div", { class: "pair" });
  stage.append(pair);
  const back = lines(pair, { title: "Gradient by steps back", x: { label: "steps back" }, y: { label: "‖dL/dh‖", log: true }, series: [] });
  const gates = lines(pair, { title: "Gates, mean", x: { label: "update" }, y: { label: "mean", min: 0, max: 1 }, series: [] });
  const list = h("ol", { class: "attempts", "aria-label": "The last five attempts" });
  const listed = h("section", { hidden: true }, h("h2", {}, "Attempts"), list);
  stage.append(listed);

  let untrained = null;
  let running = null;
  const attempts = [];

  // A knob that is hidden has no say: the server's default stands.
  const applies = (name, settings) => name in settings && (LOOK[name]?.when?.(settings) ?? true);
  const pick = (settings, schema) => Object.fromEntries(Object.keys(schema).filter((name) => applies(name, settings)).map((name) => [name, settings[name]]));
  const refuse = (event) => {
    for (const { where, message } of event.problems ?? [event]) if (!set.refuse(where, message)) trouble.textContent = message;
  };

  function probe(settings) {
    for (const name of Object.keys(LOOK)) set.visible(name, applies(name, settings));
    connection.ask("sandbox.probe", pick(settings, probed), (event) => {
      if (event.event === "error") return refuse(event);
      if (event.event !== "probe") return undefined;
      trouble.textContent = "";
      untrained = event;
      // Another network than the one that was trained: its picture begins anew.
      network.update({ title: "The network over time, untrained", gradient: event.gradient, states: statesOf(event), sentence: probeSentence(event) });
      drawGates();
      return drawBack();
    });
  }

  let used = 0;
  /** Trains with the knobs as they are, or a cell of one's own with them. */
  function train(own = null) {
    const settings = pick(set.settings(), own?.fields ?? trained);
    run(begin(settings, own), own ? "own_cell.train" : "sandbox.train", { ...settings, ...own?.more }, own?.done);
  }

  /** Makes a few updates: of the attempt that was paused, if nothing was changed since, or the first ones of a new attempt. */
  function advance(updates, own = null) {
    const settings = pick(set.settings(), own?.fields ?? trained);
    const [latest] = attempts;
    const goesOn = latest?.run && ["paused", "stopped"].includes(latest.state) && latest.code === own?.more.code && JSON.stringify(settings) === JSON.stringify(latest.settings);
    const attempt = goesOn ? latest : begin(settings, own);
    run(attempt, own ? "own_cell.train" : "sandbox.step", { ...settings, ...own?.more, by: updates, run: goesOn ? latest.run : "" }, own?.done);
    attempt.steps = true;
  }

  function begin(settings, own) {
    const name = own ? "your cell" : String(settings.cell);
    const attempt = { settings, name, code: own?.more.code, refuse: own?.refuse, tone: used++, train: [], valid: [], gates: {}, gradient: null, metric: "loss", levels: [], run: "", state: "waiting" };
    attempts.unshift(attempt);
    attempts.length = Math.min(attempts.length, ATTEMPTS);
    return attempt;
  }

  function run(attempt, name, settings, done = () => {}) {
    trouble.textContent = "";
    attempt.steps = false;
    const handle = connection.ask(name, settings, (event) => follow(attempt, event));
    running = { attempt, handle };
    handle.done.then(() => {
      done();
      if (running?.handle === handle) running = null;
      draw();
    });
    draw();
  }

  function follow(attempt, event) {
    const note = FOLLOW[event.event];
    if (note) note(attempt, event);
    if (event.event === "error") (attempt.refuse ?? refuse)(event);
    if (event.event === "network" && attempts[0] === attempt) network.update({ title: `The network over time, update ${number(event.update)}`, gradient: event.gradient, states: statesOf(event), sentence: networkSentence(event) });
    if (attempts[0] === attempt) progress.textContent = progressOf(attempt, event);
    later();
  }

  let asked = 0;
  /** Draws once a frame, however many events came. */
  function later() {
    cancelAnimationFrame(asked);
    asked = requestAnimationFrame(draw);
  }

  function draw() {
    start.disabled = forth.button.disabled = running !== null;
    halt.disabled = running === null;
    const labels = labelsOf(attempts);
    const metric = attempts[0]?.metric ?? "loss";
    const series = attempts.toReversed().flatMap((attempt) => {
      const name = labels.get(attempt);
      const curve = (points, kind, faint) => (points.length ? [{ name: `${name}${kind}`, x: points.map(([x]) => x), values: points.map(([, y]) => y), tone: attempt.tone, faint }] : []);
      return [...curve(attempt.valid, "", false), ...curve(attempt.train, ", training", true)];
    });
    loss.update({ series, title: metric === "loss" ? "Loss" : `Loss (${metric})`, y: { label: metric, log: true }, levels: attempts[0]?.levels ?? [], sentence: lossSentence(attempts, labels) });
    drawBack(labels);
    drawGates();
    listed.hidden = !attempts.length;
    list.replaceChildren(...attempts.map((attempt) => attemptRow(attempt, labels.get(attempt), () => set.set(attempt.settings))));
  }

  /** While a cell with gates trains, their means by update; before that, those of the probe by step. */
  function drawGates() {
    const learned = Object.entries(attempts[0]?.gates ?? {});
    const before = Object.entries(untrained?.gates ?? {});
    const none = "This cell has no gates. Those of an LSTM or a GRU are shown here.";
    if (learned.length) {
      const series = learned.map(([name, points]) => ({ name, x: points.map(([x]) => x), values: points.map(([, y]) => y) }));
      gates.update({ title: "Gates, mean, while it trains", x: { label: "update" }, series });
    } else gates.update({ title: "Gates, mean, untrained", x: { label: "step", start: 1 }, series: before.map(([name, values]) => ({ name, values })), sentence: before.length ? undefined : none });
  }

  function drawBack(labels = labelsOf(attempts)) {
    const trainedCurves = attempts.filter(({ gradient }) => gradient).toReversed();
    const series = trainedCurves.map((attempt) => ({ name: labels.get(attempt), tone: attempt.tone, ...attempt.gradient }));
    if (untrained) series.push({ name: "now, untrained", x: untrained.gradient.map((_, index) => index), values: untrained.gradient.toReversed(), tone: 6 });
    back.update({ series });
  }

  const start = h("button", { type: "button", class: "primary", onclick: () => train() }, "Train");
  const forth = stepper("Step", advance);
  const halt = h("button", { type: "button", disabled: true, onclick: () => running?.handle.stop() }, "Stop");
  const reset = h("button", { type: "button", onclick: () => set.reset() }, "Reset knobs");
  buttons.append(start, forth.element, halt, reset);
  if (asks["own_cell.probe"] && facts.code) ownCell(stage, { connection, asks, set, network, train, advance });
  else stage.append(h("p", { class: "hint" }, "Typing a cell of your own is turned off: start elman lab without --no-code."));
  draw();
  const unheard = set.changed(probe);
  return {
    follow: () => set.follow(),
    leave: () => {
      running?.handle.stop();
      unheard();
    },
  };
}

function addKnobs(set, panel, settings, facts) {
  const left = new Set(Object.keys(settings));
  const cells = ["elman", "lstm", "gru", ...facts.cells.filter((name) => !["elman", "lstm", "gru"].includes(name))];
  const look = { ...LOOK, cell: { ...LOOK.cell, kind: "choice", options: facts.cell ? [facts.cell, ...cells] : cells } };
  const group = (title, names) => {
    const present = names.filter((name) => left.delete(name));
    if (present.length) panel.append(h("h2", {}, title));
    for (const name of present) {
      const setting = settings[name];
      const wanted = { ...look[name] };
      if (wanted.min !== undefined && setting.min !== undefined) wanted.min = Math.max(wanted.min, setting.min);
      if (wanted.max !== undefined && setting.max !== undefined) wanted.max = Math.min(wanted.max, setting.max);
      if (wanted.log && !((wanted.min ?? setting.min) > 0)) wanted.log = false;
      knobFor(set, name, setting, wanted);
    }
  };
  for (const [title, names] of Object.entries(GROUPS)) group(title, names);
  group("More", [...left]);
}

const FOLLOW = {
  queued(attempt) {
    attempt.state = "waiting";
  },
  run(attempt, event) {
    Object.assign(attempt, { run: event.run, command: event.command ?? attempt.command });
  },
  start(attempt, event) {
    Object.assign(attempt, { state: "training", metric: event.metric ?? "loss", updates: event.updates });
  },
  train(attempt, event) {
    const value = event[attempt.metric] ?? event.loss;
    attempt.train.push([event.update, value]);
  },
  valid(attempt, event) {
    attempt.valid.push([event.update, event[attempt.metric] ?? event.loss]);
  },
  watch(attempt, event) {
    const [layer] = Object.values(event.layers ?? {});
    if (!layer) return;
    for (const [name, { mean }] of Object.entries(layer.gates ?? {})) (attempt.gates[name] ??= []).push([event.update, mean]);
    const gradient = layer.gradient?.h ?? Object.values(layer.gradient ?? {})[0];
    if (!gradient) return;
    const last = layer.steps.at(-1);
    attempt.gradient = { x: layer.steps.map((step) => last - step).toReversed(), values: gradient.toReversed() };
  },
  finished(attempt, event) {
    for (const [name, value] of Object.entries(event.baselines ?? {})) attempt.levels.push({ y: value?.valid?.[attempt.metric] ?? value?.test?.[attempt.metric], label: name });
  },
  end(attempt, event) {
    FOLLOW.finished(attempt, event); // a training's own last event may be the answer's last
    attempt.state = "done";
  },
  stopped(attempt, event) {
    attempt.state = attempt.steps ? "paused" : "stopped";
    attempt.resume = event.resume;
  },
  error(attempt) {
    attempt.state = "failed";
  },
};

function progressOf(attempt, event) {
  if (event.event === "queued") return `Waiting: place ${event.place} in the queue.`;
  const last = attempt.train.at(-1) ?? attempt.valid.at(-1);
  const where = last ? `update ${number(last[0])}${attempt.updates ? ` of ${number(attempt.updates)}` : ""}, ${attempt.metric} ${number(last[1])}` : "starting";
  const ended = { done: "Done: ", paused: "Paused: ", stopped: "Stopped: ", failed: "Failed: " }[attempt.state] ?? "";
  const more = ["paused", "stopped"].includes(attempt.state) && attempt.resume?.length ? ` To go on: elman ${attempt.resume.join(" ")}` : "";
  return `${ended}${where}.${attempt.run ? ` Run folder: ${attempt.run}.` : ""}${more}`;
}

/** A name for each attempt: the settings in which it differs from any other. */
function labelsOf(attempts) {
  const names = [...new Set(attempts.flatMap(({ settings }) => Object.keys(settings)))];
  const differing = names.filter((name) => new Set(attempts.map(({ settings }) => String(settings[name]))).size > 1);
  const used = new Map();
  return new Map(
    attempts.toReversed().map((attempt) => {
      const said = differing.map((name) => [name, attempt.settings[name]]).filter(([, value]) => value !== null && value !== undefined);
      const label = said.map(([name, value]) => (typeof value === "string" ? value : `${name.replaceAll("_", " ")} ${number(value)}`)).join(", ") || attempt.name;
      used.set(label, (used.get(label) ?? 0) + 1);
      return [attempt, used.get(label) > 1 ? `${label} (${used.get(label)})` : label];
    }),
  );
}

function attemptRow(attempt, label, again) {
  const last = attempt.valid.at(-1) ?? attempt.train.at(-1);
  const name = attempt.run.split("/").at(-1);
  const status = h("span", { role: "status", class: "copied" });
  const command = attempt.command ? h("button", { type: "button", title: attempt.command, onclick: () => copy(attempt.command, status) }, "Copy command") : null;
  return h(
    "li",
    {},
    h("span", {}, h("strong", {}, label), ` · ${attempt.state}`, last ? ` · ${attempt.metric} ${number(last[1])}` : ""),
    h("span", { class: "tools" }, h("button", { type: "button", onclick: again }, "These knobs"), command, name ? h("a", { class: "go", href: `#/run/${encodeURIComponent(name)}` }, "Open the run") : null, status),
  );
}

function lossSentence(attempts, labels) {
  const done = attempts.filter(({ valid }) => valid.length);
  if (!done.length) return attempts.length ? "No validation yet." : "Train: up to five attempts are laid over each other.";
  return `Validation ${done[0].metric}: ${done.map((attempt) => `${labels.get(attempt)} ${number(attempt.valid.at(-1)[1])}`).join("; ")}.`;
}

/** The states of one row by step, as the strip under the network has them. */
function statesOf({ states }) {
  const [units] = Object.values(states ?? {});
  return units?.[0]?.map((_, step) => units.map((unit) => unit[step]));
}

function probeSentence({ verdict, ratio, half_life: life, gradient }) {
  const half = life?.[0];
  return `The gradient ${verdict}: ${gradient.length - 1} steps back it is ${number(ratio)} times what it is at the last step${Number.isFinite(half) && half > 0 ? `; it halves every ${number(half)} steps` : ""}.`;
}

/** The trained network: its loss is the task's own, on validation data. */
function networkSentence({ update, verdict, ratio, gradient }) {
  return `After update ${number(update)} the gradient of the task's own loss ${verdict}: ${gradient.length - 1} steps back it is ${number(ratio)} times what it is at the last step.`;
}

/** A button with the number of updates that it makes. */
function stepper(label, action) {
  const by = h("select", { "aria-label": `${label}: updates` }, STEPS.map((count) => h("option", { value: count }, count === 1 ? "1 update" : `${count} updates`)));
  const button = h("button", { type: "button", onclick: () => action(Number(by.value)) }, label);
  return { button, element: h("span", { class: "stepper" }, button, by) };
}

/** A cell of one's own: typed, probed and trained in a worker of its own. */
function ownCell(stage, { connection, asks, set, network, train, advance }) {
  const probing = settingsOf(asks["own_cell.probe"]);
  const training = settingsOf(asks["own_cell.train"]);
  const code = h("textarea", { id: "own-code", rows: 18, maxlength: probing.code.max, spellcheck: "false", autocapitalize: "off", autocomplete: "off", "aria-describedby": "own-warning own-problem" });
  code.value = memory.get("own_cell") ?? EXAMPLE;
  const result = h("p", { role: "status", class: "sentence" });
  const problem = h("p", { id: "own-problem", class: "problem", role: "alert" });
  const clear = (text) => {
    memory.set("own_cell", code.value);
    problem.textContent = "";
    result.textContent = text;
  };
  const refuse = (event) => {
    result.textContent = "";
    problem.textContent = (event.problems ?? [event]).map(({ where, message }) => (where && where !== "code" ? `${where}: ${message}` : message)).join("\n");
  };

  function look() {
    clear("Running …");
    const settings = set.settings();
    // Only what any cell has: its activation and gates are its own.
    const known = ["radius", "hidden", "steps", "seed"].filter((name) => name in settings && name in probing);
    connection.ask("own_cell.probe", { ...Object.fromEntries(known.map((name) => [name, settings[name]])), code: code.value }, (event) => {
      if (event.event === "probe") {
        network.update({ title: "Your cell over time, untrained", gradient: event.gradient, states: statesOf(event), sentence: `Your cell. ${probeSentence(event)}` });
        result.textContent = `Your cell: ${probeSentence(event)}`;
      } else if (event.event === "error") refuse(event);
    });
  }

  /** What a training has, with the knobs as far as they hold for any cell. */
  function own() {
    clear("Training …");
    const kept = Object.fromEntries(Object.entries(training).filter(([name]) => !["code", "cell", "activation", "init", "forget_bias"].includes(name)));
    const settings = set.settings();
    const most = (name) => Math.min(settings[name], training[name].max ?? Infinity);
    return { fields: kept, more: { code: code.value, updates: most("updates"), rows: most("rows") }, refuse, done: () => (result.textContent = "") };
  }

  // Tab leaves the field, as it does in every other: keyboards are not trapped.
  stage.append(
    h(
      "details",
      { class: "own" },
      h("summary", {}, "A cell of your own"),
      h("p", { id: "own-warning", class: "warning" }, "This code runs on this machine with your rights: do not paste code that you do not trust. It has ten seconds and 2 GB, then it is ended. elman lab --no-code turns this off."),
      h("label", { for: "own-code" }, "Python with a class that is a cell"),
      code,
      problem,
      h("div", { class: "buttons" }, h("button", { type: "button", class: "primary", onclick: look }, "Probe my cell"), h("button", { type: "button", onclick: () => train(own()) }, "Train my cell"), stepper("Step my cell", (updates) => advance(updates, own())).element),
      result,
    ),
  );
}
