// Routes: #/ home, #/SLUG a lesson, #/sandbox, #/run/NAME. An exported lesson has its recordings in the page and no server.
import { connect } from "./connection.js";
import { h } from "./dom.js";
import { homeScreen } from "./home.js";
import { lessonScreen } from "./lesson.js";
import { replay } from "./replay.js";
import { runScreen } from "./run.js";
import { sandboxScreen } from "./sandbox.js";

const main = document.getElementById("main");
const exported = document.getElementById("recording");
const recording = exported ? JSON.parse(exported.textContent) : null;
const connection = recording ? replay(recording.recorded) : connect();
if (recording) document.body.dataset.replay = "";
let shown = { route: null, screen: null };

/** The settings of the address: #/gradients?radius=1.2&seed=0. */
const address = {
  read: () => Object.fromEntries(new URLSearchParams(location.hash.split("?")[1] ?? "")),
  write(settings) {
    const text = new URLSearchParams(Object.entries(settings).map(([name, value]) => [name, String(value)])).toString();
    const next = `#/${route()}${text ? `?${text}` : ""}`;
    if (next !== location.hash) history.replaceState(null, "", next);
  },
};

function route() {
  return decodeURIComponent(location.hash.split("?")[0].replace(/^#\/?/, ""));
}

async function get(name) {
  const answer = await fetch(name);
  if (!answer.ok) throw new Error(`${name}: ${answer.status} ${answer.statusText}`);
  return answer.json();
}

async function show() {
  const where = route();
  if (where === shown.route) return shown.screen?.follow?.();
  const first = shown.route === null;
  shown.screen?.leave?.();
  shown = { route: where, screen: null };
  document.body.dataset.screen = where.split("/")[0] || "home";
  try {
    const screen = await open(where);
    if (shown.route !== where) return screen?.leave?.();
    shown.screen = screen;
    if (!first) {
      main.querySelector("h1")?.focus({ preventScroll: true }); // as a new page would begin
      scrollTo(0, 0);
    }
  } catch (error) {
    console.error(error);
    main.replaceChildren(h("div", { class: "page" }, h("h1", {}, "This page could not be opened"), h("p", { role: "alert" }, error.message), h("p", {}, h("a", { href: "#/" }, "All lessons"))));
  }
  return undefined;
}

async function open(where) {
  if (recording) return lesson(recording.lesson.slug, recording.lesson, []);
  const lessons = await catalog();
  if (where === "") return homeScreen(main, { lessons, runs: () => get("runs"), flights: () => get("flights.json") });
  if (where === "sandbox") return sandboxScreen(main, { connection, address, facts: await get("lab") });
  if (where.startsWith("run/")) return runScreen(main, { connection, address, run: where.slice(4) });
  const known = lessons.find((item) => item.slug === where);
  if (!known) throw new Error(`There is no lesson "${where}".`);
  return lesson(where, known, lessons);
}

function lesson(slug, item, lessons) {
  const text = { ...item, ...item.text };
  document.title = `${text.title} · elman lab`;
  const loadStage = () => (recording ? import("stage") : import(new URL(`lessons/${slug}/stage.js`, document.baseURI).href));
  const alone = Boolean(recording) && new URLSearchParams(location.search).get("part") === "play";
  if (alone) document.body.dataset.part = "play";
  return lessonScreen(main, { text, loadStage, connection, address, lessons, alone });
}

let kept = null;
async function catalog() {
  document.title = "elman lab";
  kept ??= await get("lessons");
  return kept;
}

connection.onState(({ state, message }) => {
  const element = document.getElementById("worker");
  if (!element) return;
  const said = { connecting: "connecting …", starting: "worker starting …", ready: "ready", restarting: "worker restarting …", lost: "no connection", replay: "recorded" };
  element.dataset.state = state;
  element.textContent = said[state] ?? state;
  document.getElementById("notice").textContent = ["ready", "starting", "connecting", "replay"].includes(state) ? "" : message;
});

document.querySelector(".skip")?.addEventListener("click", (event) => {
  event.preventDefault(); // the address after # is a route
  (main.querySelector("h1") ?? main).focus();
});
addEventListener("hashchange", show);
show();
