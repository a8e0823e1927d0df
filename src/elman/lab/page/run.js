// A run: what it logged, what its network does with a sentence, what is wrong with it and what helps.
import { bars, heat, lines } from "./charts.js";
import { debounced, download, h, number } from "./dom.js";
import { knobs } from "./knobs.js";

const LOGGED = new Set(["gradient norm", "learning rate", "clipped updates", "throughput"]);

/** Shows a run in `main`, live while it trains. */
export function runScreen(main, { connection, address, run }) {
  document.title = `${run} · elman lab`;
  const trouble = h("p", { class: "trouble", role: "alert" });
  const head = h("div", { class: "run-head" });
  const page = h("div", { class: "page run" }, h("p", { class: "crumbs" }, "Run"), h("h1", { tabindex: "-1" }, run), head, trouble);
  main.replaceChildren(page);

  const ask = (name, settings, onEvent) =>
    connection.ask(name, settings, (event) => {
      trouble.textContent = event.event === "error" ? event.message : "";
      onEvent(event);
    });

  const curves = curveSection(page, address);
  const inside = insideSection(page, { run, ask });
  const flow = flowSection(page, { run, ask });
  doctorSection(page, { run, ask, curves });
  const opened = { summary: null, curves: [], flow: null };
  const handles = [];

  handles.push(ask("run.open", { run }, (event) => {
    if (event.event === "summary") {
      opened.summary = event;
      headOf(head, event, () => download(`${run}.json`, JSON.stringify(opened, null, 1), "application/json"));
      curves.levels(event);
      if (event.live) handles.push(follow());
    } else if (event.event === "curves") {
      opened.curves = event.panels;
      curves.show(event.panels);
    } else if (event.event === "flow") {
      opened.flow = event;
      flow.show(event);
    } else if (event.event === "end") {
      inside.begin();
    }
  }));

  function follow() {
    return connection.ask("run.follow", { run }, (event) => {
      if (event.event === "train" || event.event === "valid") curves.add(event);
      if (event.event === "finished") ask("run.open", { run }, (again) => again.event === "summary" && headOf(head, again, () => {}));
    });
  }

  return {
    follow: () => curves.follow(),
    leave: () => handles.forEach((handle) => handle.stop()),
  };
}

function headOf(head, event, save) {
  const facts = [
    event.task,
    event.config?.["model.cell"],
    event.parameters ? `${number(event.parameters)} parameters` : null,
    event.live ? "training now" : null,
  ].filter(Boolean);
  const settings = Object.entries(event.config ?? {}).map(([key, value]) => [key, value]);
  head.replaceChildren(
    h("p", { class: "lead" }, event.sentence),
    h("ul", { class: "facts" }, facts.map((fact) => h("li", {}, fact))),
    h(
      "details",
      {},
      h("summary", {}, "Settings and results"),
      h("div", { class: "pair" }, keyed("Settings", settings), keyed("Results", resultsOf(event))),
    ),
    h("div", { class: "buttons" }, h("button", { type: "button", onclick: save }, "Download JSON")),
  );
}

function resultsOf({ metrics, baselines }) {
  const ours = Object.entries(metrics ?? {}).flatMap(([split, values]) => Object.entries(values).map(([name, value]) => [`${split} ${name}`, value]));
  const others = Object.entries(baselines ?? {}).flatMap(([name, splits]) => flat(splits).map(([metric, value]) => [`${name}: ${metric}`, value]));
  return [...ours, ...others];
}

/** The numbers in {test: {accuracy: 0.5}} or {accuracy: 0.5}, with their names. */
function flat(values, before = "") {
  return Object.entries(values ?? {}).flatMap(([name, value]) => (value !== null && typeof value === "object" ? flat(value, `${before}${name} `) : [[`${before}${name}`, value]]));
}

function keyed(title, rows) {
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": title }, h("table", {}, h("tbody", {}, rows.map(([key, value]) => h("tr", {}, h("th", { scope: "row" }, key), h("td", {}, number(value)))))));
}

function curveSection(page, address) {
  const panel = h("div", { class: "knob-row" });
  const grid = h("div", { class: "pair" });
  const more = h("div", { class: "pair" });
  const empty = h("p", { class: "hint" }, "Reading the run …");
  page.append(h("section", {}, h("h2", {}, "Curves"), panel, empty, grid, h("details", {}, h("summary", {}, "Gradient norm, clipping, rate, throughput"), more)));
  const set = knobs(panel, { address });
  const smooth = set.range({ name: "smooth", label: "Smoothing", min: 0, max: 0.98, step: 0.02, value: 0 });
  const charts = new Map();
  let panels = [];
  let marks = {};
  let read = false;
  let judged = "score";
  let asked = 0;

  function draw() {
    empty.hidden = panels.length > 0;
    if (read) empty.textContent = "Nothing is logged yet.";
    for (const { title, series } of panels) {
      const where = LOGGED.has(title) ? more : grid;
      if (!charts.has(title)) charts.set(title, lines(where, { title, x: { label: "update" }, series: [] }));
      const drawn = series.flatMap(({ name, x, y }, index) => {
        const own = { name, x, values: y, tone: index };
        return smooth.value && y.length > 2 && !name.startsWith("validation") ? [{ ...own, name: `${name}, not smoothed`, faint: true }, { ...own, values: smoothed(y, smooth.value) }] : [own];
      });
      charts.get(title).update({ series: drawn, y: { label: title, log: spread(title, series) }, levels: marks[title] ?? [] });
    }
  }
  set.changed(draw);

  return {
    follow: () => set.follow(),
    show(next) {
      read = true;
      panels = next.map(({ title, series }) => ({ title, series: series.map(({ name, x, y }) => ({ name, x: [...x], y: [...y] })) }));
      draw();
    },
    metric: () => judged,
    levels({ baselines, metric }) {
      judged = metric ?? "score";
      const values = Object.entries(baselines ?? {}).map(([name, splits]) => ({ label: name, y: splits?.valid?.[metric] ?? splits?.test?.[metric] ?? splits?.[metric] }));
      marks = { [metric]: values.filter(({ y }) => Number.isFinite(y)) };
      draw();
    },
    /** A trial of a remedy, over the run's own curves. */
    overlay(name, others) {
      for (const { title, series } of others) {
        const mine = panels.find((panel) => panel.title === title);
        if (!mine || LOGGED.has(title)) continue;
        for (const { name: kind, x, y } of series) mine.series.push({ name: `${name}: ${kind}`, x, y });
      }
      draw();
    },
    add(event) {
      const names = { norm: "gradient norm", lr: "learning rate" };
      for (const [key, value] of Object.entries(event)) {
        if (typeof value !== "number" || ["epoch", "update", "updates", "seconds", "of"].includes(key)) continue;
        const found = { title: names[key] ?? key, name: event.event === "valid" ? "validation" : (names[key] ?? "training") };
        if (key === "clipped") Object.assign(found, { title: "clipped updates", name: "share" });
        if (key.endsWith("_per_second")) Object.assign(found, { title: "throughput", name: key.replaceAll("_", " ") });
        let panel = panels.find(({ title }) => title === found.title);
        if (!panel) panels.push((panel = { title: found.title, series: [] }));
        let curve = panel.series.find(({ name }) => name === found.name);
        if (!curve) panel.series.push((curve = { name: found.name, x: [], y: [] }));
        if (curve.x.length && curve.x.at(-1) >= event.update) continue;
        curve.x.push(event.update);
        curve.y.push(value);
        thin(curve);
      }
      cancelAnimationFrame(asked); // once a frame, however many events came
      asked = requestAnimationFrame(draw);
    },
  };
}

/** Whether a chart needs powers of ten: rates and norms always, others where a curve of positive values spans a lot. */
function spread(title, series) {
  if (title === "learning rate" || title === "gradient norm") return true;
  const values = series.flatMap(({ y }) => y).filter((value) => Number.isFinite(value));
  const least = Math.min(...values);
  return least > 0 && Math.max(...values) > 50 * least;
}

/** Of a long curve every other point is kept, and always the last: a stream of hours must not grow without bound. */
function thin(curve) {
  if (curve.x.length < 2000) return;
  const keep = (_, index, all) => index % 2 === 0 || index === all.length - 1;
  curve.x = curve.x.filter(keep);
  curve.y = curve.y.filter(keep);
}

/** An exponential mean, without the pull of its zero start. */
function smoothed(values, weight) {
  let mean = 0;
  let share = 0;
  return values.map((value) => {
    if (!Number.isFinite(value)) return value;
    mean = weight * mean + (1 - weight) * value;
    share = weight * share + (1 - weight);
    return mean / share;
  });
}

function insideSection(page, { run, ask }) {
  const field = h("input", { type: "text", id: "own-sentence", maxlength: 2000, autocomplete: "off", spellcheck: "false", placeholder: "This morning I took my cat for a" });
  const state = h("p", { class: "hint", role: "status" });
  const choose = h("div", { class: "knob-row" });
  const maps = h("div", {});
  const words = h("div", {});
  page.append(
    h("section", {}, h("h2", {}, "Inside the network"), h("label", { for: "own-sentence" }, "Your own sentence (a sentence of the validation data while it is empty)"), field, state, choose, maps, words),
  );
  const next = bars(words, { title: "Next words", x: { label: "probability" } });
  next.element.hidden = true;
  const map = mapChart(maps, choose, unitPlaces(maps, { run, ask }));

  function look() {
    state.textContent = "";
    const layers = [];
    let tokens = [];
    ask("run.look", { run, text: field.value.trim() }, (event) => {
      if (event.event === "tokens") tokens = event.by_layer ?? event.tokens;
      else if (event.event === "layer") layers.push({ ...event, words: Array.isArray(tokens) ? tokens : (tokens[event.name] ?? Object.values(tokens)[0] ?? []) });
      else if (event.event === "next") {
        next.element.hidden = false;
        next.update({ labels: event.words.map(({ word }) => word), series: [{ name: "", values: event.words.map(({ probability }) => probability) }], sentence: `Likeliest after "${event.prompt}": ${event.words.slice(0, 3).map(({ word, probability }) => `${word} ${number(probability)}`).join(", ")}.` });
        if (event.unknown?.length) state.textContent = `Not in the vocabulary, so read as <unk>: ${event.unknown.join(", ")}.`;
      } else if (event.event === "answer") state.textContent = `The network says: ${said(event.answer)}`;
      else if (event.event === "error") state.textContent = event.message;
      else if (event.event === "end") map.show(layers);
    });
  }
  field.addEventListener("input", debounced(look, 150));
  return { begin: look };
}

function said(answer) {
  if (answer === null || typeof answer !== "object") return number(answer);
  return flat(answer).map(([name, value]) => `${name} ${number(value)}`).join(", ");
}

/** Where in the validation data a unit is highest: a table under the map; call it with null for none. */
function unitPlaces(element, { run, ask }) {
  const title = h("h3", {});
  const hint = h("p", { class: "hint" });
  const body = h("tbody", {});
  const table = h("table", {}, h("thead", {}, h("tr", {}, ["value", "row", "step", "where"].map((name) => h("th", { scope: "col" }, name)))), body);
  const places = h("div", { class: "places", role: "status", hidden: true }, title, hint, h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Places" }, table));
  let chosen = null;
  return (chart, choice) => {
    if (!places.isConnected) chart.after(places);
    const same = JSON.stringify(choice) === JSON.stringify(chosen);
    chosen = choice;
    if (choice === null) places.hidden = true;
    if (choice === null || same) return;
    ask("run.unit", { run, ...choice }, (event) => {
      if (event.event === "error") places.hidden = true;
      if (event.event !== "places") return;
      places.hidden = false;
      title.textContent = `Where unit ${choice.unit} of ${choice.what} is highest`;
      hint.textContent = `The ${event.places.length} highest places in ${event.rows} rows of the validation data.`;
      body.replaceChildren(...event.places.map(({ value, row, step, before, word, after }) => h("tr", {}, h("td", {}, number(value)), h("td", {}, String(row)), h("td", {}, String(step)), h("td", { class: "context" }, `${before} `, h("mark", {}, word), ` ${after}`))));
    });
  };
}

/**
 * A map of gates and states: a row a unit, a column a word; a choice of layer and of map; a click on a unit sorts the words by it,
 * and tells onUnit(chart, {layer, what, unit}), or null when they stand in their order again.
 */
function mapChart(element, choose, onUnit) {
  const layerOf = h("select", { "aria-label": "Layer" });
  const nameOf = h("select", { "aria-label": "Gate or state" });
  choose.append(h("label", {}, "Layer ", layerOf), h("label", {}, "Shown ", nameOf));
  choose.hidden = true;
  const chart = heat(element, { title: "Gates and states", values: [], row: "unit", column: "word", value: "value" });
  let layers = [];
  let sorted = null;

  function fill() {
    const layer = layers.find(({ name }) => name === layerOf.value) ?? layers[0];
    const before = nameOf.value;
    nameOf.replaceChildren(...Object.keys(layer.maps).map((name) => h("option", { value: name }, layer.gates.includes(name) ? `${name} gate` : `state ${name}`)));
    if (layer.maps[before]) nameOf.value = before;
    draw();
  }

  function draw() {
    const layer = layers.find(({ name }) => name === layerOf.value) ?? layers[0];
    if (!layer) return;
    const name = nameOf.value;
    const steps = layer.maps[name];
    const units = layer.units.map((unit, index) => ({ unit, values: steps.map((step) => step[index]) }));
    const order = sorted === null ? steps.map((_, step) => step) : steps.map((_, step) => step).sort((a, b) => steps[b][sorted] - steps[a][sorted]);
    const gate = layer.gates.includes(name);
    const columns = order.map((step) => layer.words?.[step] ?? `step ${step + 1}`);
    const unit = sorted === null ? null : layer.units[sorted];
    onUnit(chart.element, unit === null ? null : { layer: layer.name, what: name, unit });
    chart.update({
      title: gate ? `${name} gate of ${layer.name}` : `State ${name} of ${layer.name}`,
      rows: units.map((each) => each.unit),
      columns,
      values: units.map(({ values }) => order.map((step) => values[step])),
      value: name,
      ...(gate ? { min: 0, max: 1, center: undefined } : { min: undefined, max: undefined, center: 0 }),
      onChoose: (row) => {
        sorted = sorted === row ? null : row;
        draw();
      },
      sentence: unit === null ? `The ${units.length} units of the ${layer.cell} that change most. A click on a unit sorts the words by it, and shows where it is highest.` : `Words sorted by unit ${unit}: it is highest at ${columns.slice(0, 3).map((name) => `"${name}"`).join(", ")}. Click it again for the order of the text.`,
    });
  }
  layerOf.addEventListener("change", fill);
  nameOf.addEventListener("change", draw);
  return {
    show(next) {
      layers = next.filter(({ maps }) => Object.keys(maps ?? {}).length);
      choose.hidden = !layers.length;
      if (!layers.length) return;
      const before = layerOf.value;
      layerOf.replaceChildren(...layers.map(({ name }) => h("option", { value: name }, name)));
      if (layers.some(({ name }) => name === before)) layerOf.value = before;
      if (sorted !== null && sorted >= layers[0].units.length) sorted = null;
      fill();
    },
  };
}

function flowSection(page, { run, ask }) {
  const section = h("section", { hidden: true }, h("h2", {}, "Measured by elman flow"));
  const choose = h("div", { class: "knob-row" });
  page.append(section);
  return {
    show({ layers, steps, rows }) {
      section.hidden = false;
      const series = layers.flatMap((layer) => Object.entries(layer.gradient ?? {}).map(([state, { fall }]) => ({ name: `${layer.name} ${state}`, values: fall })));
      const lives = layers.flatMap((layer) => Object.entries(layer.gradient ?? {}).map(([state, { half_life: [life] }]) => `${layer.name} ${state}: half-life ${number(Number(life))} steps`));
      if (series.length) lines(section, { title: "Gradient by steps before the loss", x: { label: "steps before the loss" }, y: { label: "share of the gradient", log: true }, series, sentence: `${rows} rows of ${steps} steps. ${lives.join("; ")}.` });
      const maps = layers.filter((layer) => Object.keys(layer.maps ?? {}).length);
      if (!maps.length) return;
      section.append(choose);
      mapChart(section, choose, unitPlaces(section, { run, ask })).show(maps);
    },
  };
}

function doctorSection(page, { run, ask, curves }) {
  const stage = h("p", { class: "progress", role: "status" });
  const list = h("div", { class: "findings" });
  const begin = h("button", { type: "button", class: "primary", onclick: examine }, "Ask the doctor");
  page.append(h("section", {}, h("h2", {}, "What is wrong, and what helps"), h("div", { class: "buttons" }, begin), stage, list));

  function examine() {
    begin.disabled = true;
    list.replaceChildren();
    let found = 0;
    ask("run.doctor", { run }, (event) => {
      if (event.event === "stage") stage.textContent = `${event.name} …`;
      else if (event.event === "finding") {
        found += 1;
        list.append(findingOf(event));
      } else if (event.event === "examined") {
        stage.textContent = `${found ? `${found} finding${found > 1 ? "s" : ""}` : "No fault found"}, ${event.checked.length} checks.`;
        list.append(h("details", {}, h("summary", {}, "What was checked"), h("ul", {}, event.checked.map(({ name, outcome }) => h("li", {}, `${name}: ${outcome}`)))));
        if (event.unknown?.length) list.append(h("p", { class: "hint" }, `Could not be checked: ${event.unknown.join("; ")}.`));
      } else if (event.event === "queued") stage.textContent = `Waiting: place ${event.place} in the queue.`;
      else if (["end", "error", "stopped"].includes(event.event)) {
        begin.disabled = false;
        if (event.event === "error") stage.textContent = "";
      }
    });
  }

  function findingOf(event) {
    const result = h("div", { role: "status" });
    const attempt = h("button", { type: "button", onclick: () => tryIt(event, attempt, result) }, "Try");
    const remedies = event.remedies.map(({ what, flags, reference }) => h("li", {}, what, flags ? [" ", h("code", {}, flags)] : null, reference ? h("span", { class: "hint" }, ` ${reference}`) : null));
    return h(
      "article",
      { class: "finding" },
      h("h3", {}, `${event.code}: ${event.problem}`),
      h("p", {}, `${event.figure} (limit ${number(event.limit)})`),
      remedies.length ? h("ol", {}, remedies) : null,
      event.remedies.some(({ flags }) => flags) ? h("div", { class: "buttons" }, attempt) : null,
      result,
    );
  }

  function tryIt(finding, button, result) {
    button.disabled = true;
    const rows = [];
    const trials = 1 + finding.remedies.filter(({ flags }) => flags).length; // the run as it is, and each remedy
    let at = 0;
    let before = Infinity;
    ask("run.try", { run, finding: finding.code }, (event) => {
      if (event.event === "stage") result.textContent = `${event.name} …`;
      else if (event.event === "training") {
        if (event.update < before) at += 1;
        before = event.update;
        result.textContent = `Training ${at} of ${trials}: update ${number(event.update)} …`;
      } else if (event.event === "trial") {
        rows.push(h("li", {}, h("strong", {}, event.remedy || "unchanged"), `: ${curves.metric()} ${number(event.score)}${event.better ? ", better" : ""}`, event.flags ? [" ", h("code", {}, event.flags)] : null));
        if (event.remedy) curves.overlay(event.flags, event.panels ?? []); // two remedies may have one name, but no two the same flags
        result.replaceChildren(h("p", {}, "After the same few updates:"), h("ul", {}, rows));
      } else if (["end", "error", "stopped"].includes(event.event)) {
        button.disabled = false;
        if (event.event === "error") result.textContent = event.message;
      }
    });
  }
}
