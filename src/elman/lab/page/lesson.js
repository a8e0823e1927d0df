// The screen of a lesson: Predict, Play, Break it, Cure it, Say it; and the object that its stage.js is given.
//
//   export default async function (lesson) { ... }
//   lesson.stage, lesson.knobs           elements to fill
//   lesson.range / choice / text / toggle / button    knobs, see knobs.js; their values stand in the address
//   lesson.changed(fn)                   fn(settings) at start and 150 ms after the last change
//   lesson.settings(), lesson.set({...}) all values; several at once
//   lesson.ask(name, settings, onEvent) -> {done, stop()}     a later ask of the same name replaces the earlier one
//   lesson.charts.lines / bars / heat / dots / unrolled (element, spec) -> {update(data)}   see charts.js, unrolled.js: no import is needed
//   lesson.h(tag, properties, ...children), lesson.number(value)     elements and numbers, see dom.js
//   lesson.say(sentence)                 the aria-live sentence under the stage
//   lesson.reach("break" | "cure")       ticks the goal
//   lesson.show("break" | "cure", settings or function)    what "Show me" sets
//   lesson.replay                        true in an exported file
//   lesson.still                         true if the visitor wants no animation
//   lesson.leave(fn)                     fn() when the visitor leaves the lesson: stop timers and sounds there
import { bars, dots, heat, lines } from "./charts.js";
import { copy, h, memory, number, still } from "./dom.js";
import { knobs } from "./knobs.js";
import { unrolled } from "./unrolled.js";

const PARTS = { play: "Play", break: "Break it", cure: "Cure it", say: "Say it" };

/**
 * Shows a lesson in `main`; gives a function that ends it. `text` is what the server made of lesson.md.
 * `alone` leaves the text out, for a page that has it around the frame.
 */
export function lessonScreen(main, { text, loadStage, connection, address, lessons, alone = false }) {
  const stage = h("div", { class: "stage-inner" });
  const panel = h("div", { class: "panel" });
  const sentence = h("p", { class: "sentence say", "aria-live": "polite" });
  const trouble = h("p", { class: "trouble", role: "alert" });
  const waiting = h("p", { class: "waiting", role: "status" });
  const asked = new Map();
  const handles = new Map();
  const leaving = [];
  const shows = {};
  let begun = false; // before the question, which may begin at once
  const goals = { break: goalBox("break"), cure: goalBox("cure") };

  const board = h("section", { class: "stage", "aria-label": "Stage" }, stage, sentence, waiting, trouble);
  const sheet = knobSheet(panel, () => set.reset());
  const article = h("article", { class: "text" });
  const screen = h("div", { class: "lesson" }, article, board, sheet);
  main.replaceChildren(screen);
  const set = knobs(panel, { address, recorded: (name) => connection.values?.(name) ?? [] });

  if (alone) article.append(...Object.values(goals).flatMap(({ box }) => box ?? []));
  else write();

  function write() {
    article.append(h("p", { class: "crumbs" }, `Lesson ${text.number} · ${text.minutes} min`), h("h1", { tabindex: "-1" }, text.title), predict(text, address.read(), begin));
    const rest = Object.entries(PARTS).map(([part, name]) => {
      const section = h("section", { id: `part-${part}` }, h("h2", {}, name), markup(text[part]));
      if (goals[part]?.box) section.append(goals[part].box);
      return section;
    });
    article.append(...rest, footer(text, lessons));
    copyButtons(article);
  }

  function goalBox(goal) {
    const said = text.goals?.[goal];
    if (!said) return { box: null };
    const mark = h("span", { class: "tick", "aria-hidden": "true" }, "○");
    const state = h("span", { class: "visually-hidden" }, "not reached");
    const button = h("button", { type: "button", onclick: () => showGoal(goal) }, "Show me");
    const box = h("div", { class: "goal", "data-goal": goal, role: "status" }, mark, state, markup(said, "span"), button);
    const made = { box, reach() {
      box.classList.add("reached");
      mark.textContent = "✓";
      state.textContent = "reached: ";
    } };
    if (memory.get(`goal.${text.slug}.${goal}`)) made.reach();
    return made;
  }

  function showGoal(goal) {
    const wanted = shows[goal];
    if (typeof wanted === "function") wanted();
    else if (wanted) set.set(wanted);
    if (wanted) board.scrollIntoView({ block: "nearest", behavior: still() ? "auto" : "smooth" });
  }

  function reach(goal) {
    goals[goal]?.reach?.();
    memory.set(`goal.${text.slug}.${goal}`, "1");
    if (Object.keys(text.goals ?? {}).every((name) => memory.get(`goal.${text.slug}.${name}`))) memory.set(`done.${text.slug}`, "1");
  }

  function ask(name, settings, onEvent = () => {}) {
    const number = (asked.get(name) ?? 0) + 1;
    asked.set(name, number);
    const handle = connection.ask(name, settings, (event) => {
      if (asked.get(name) !== number) return; // replaced meanwhile
      waiting.textContent = event.event === "queued" ? `Waiting: place ${event.place} in the queue.` : "";
      trouble.textContent = "";
      if (event.event === "error") {
        for (const { where, message } of event.problems ?? [event]) if (!set.refuse(where, message)) trouble.textContent = message;
      }
      onEvent(event);
    });
    handles.set(name, handle);
    return handle;
  }

  const lesson = {
    stage,
    knobs: panel,
    slug: text.slug,
    replay: connection.values !== undefined,
    get still() {
      return still();
    },
    ...set,
    ask,
    charts: { lines, bars, heat, dots, unrolled },
    h,
    number,
    say: (words) => {
      if (sentence.textContent !== words) sentence.textContent = words;
    },
    reach,
    show(goal, settings) {
      shows[goal] = settings;
    },
    leave: (fn) => leaving.push(fn),
  };

  async function begin() {
    if (begun) return;
    begun = true;
    screen.classList.add("begun");
    try {
      await (await loadStage()).default(lesson);
      sheet.hidden = panel.childElementCount === 0;
    } catch (error) {
      console.error(error);
      trouble.textContent = `This lesson's stage could not start: ${error.message}`;
    }
  }
  if (alone || Object.keys(address.read()).length || memory.get(`guess.${text.slug}`) !== null) begin();

  return {
    follow: () => set.follow(),
    leave() {
      asked.clear(); // what still comes is for nobody
      handles.forEach((handle) => handle.stop());
      leaving.forEach((fn) => fn());
    },
  };
}

/** The question first: the stage opens with an answer, or without one. */
function predict(text, settings, begin) {
  const { question, choices, right, answer } = text.predict;
  const feedback = h("div", { class: "answer", role: "status" });
  const answered = (index) => {
    buttons.forEach((button, place) => {
      button.setAttribute("aria-pressed", String(place === index));
      button.classList.toggle("right", place === right);
      button.classList.toggle("wrong", place === index && index !== right);
    });
    feedback.replaceChildren(h("strong", {}, index === right ? "Yes. " : "Not quite. "), markup(answer));
    skip?.remove();
    begin();
  };
  const buttons = choices.map((item, index) =>
    h("button", { type: "button", class: "guess", "aria-pressed": "false", onclick: () => {
      memory.set(`guess.${text.slug}`, String(index));
      answered(index);
    } }, markup(item, "span")));
  const skip = h("button", { type: "button", class: "quiet", onclick: () => {
    skip.remove();
    begin();
  } }, "Begin without a guess");
  const section = h("section", { id: "part-predict" }, h("h2", {}, "Predict"), markup(question), h("div", { class: "guesses" }, buttons), feedback, skip);
  const earlier = memory.get(`guess.${text.slug}`);
  if (earlier !== null) answered(Number(earlier));
  else if (Object.keys(settings).length) skip.remove();
  return section;
}

/** Markup of a lesson's own text, made by the server from a file of the package: no visitor's text goes this way. */
function markup(html, tag = "div") {
  const element = h(tag, { class: "prose" });
  element.innerHTML = html ?? "";
  return element;
}

function knobSheet(panel, reset) {
  const handle = h("button", { type: "button", class: "handle", "aria-expanded": "true", onclick: () => {
    const open = sheet.classList.toggle("closed");
    handle.setAttribute("aria-expanded", String(!open));
  } }, "Knobs");
  const copied = h("span", { role: "status", class: "copied" });
  const tools = h("div", { class: "tools" },
    h("button", { type: "button", onclick: reset }, "Reset"),
    h("button", { type: "button", onclick: () => copy(location.href.replace(/\?[^#]*/, ""), copied) }, "Copy link"), copied);
  const sheet = h("aside", { class: "sheet", "aria-label": "Knobs" }, handle, panel, tools);
  return sheet;
}

function copyButtons(article) {
  for (const block of article.querySelectorAll("pre")) {
    const told = h("span", { role: "status", class: "copied" });
    const button = h("button", { type: "button", class: "copy", onclick: () => copy(block.textContent, told) }, "Copy");
    const frame = h("div", { class: "code" });
    block.replaceWith(frame);
    frame.append(block, h("div", { class: "tools" }, button, told));
    block.setAttribute("tabindex", "0");
  }
}

function footer(text, lessons) {
  const place = lessons.findIndex(({ slug }) => slug === text.slug);
  const link = (item, label) => item && h("a", { href: `#/${item.slug}`, class: "step" }, `${label}: ${item.title}`);
  return h("nav", { class: "steps", "aria-label": "Lessons" }, link(lessons[place - 1], "Before") || "", link(lessons[place + 1], "Next") || "");
}
