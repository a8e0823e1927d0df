// Home: a ball that flies out of sight, the lessons, the sandbox and the runs.
import { h, memory, number, still } from "./dom.js";
import { theme } from "./figure.js";

const PER_FRAME = 4; // places of a flight a frame
const SEEN = 10 * PER_FRAME; // where the path is hidden
const RADIUS = 0.08; // the ball's, in units of the box
const RATE = 16; // milliseconds between two places: a frame takes 64

/** Shows home in `main`. `runs()` and `flights()` are promises: the page stands without them. */
export function homeScreen(main, { lessons, runs, flights }) {
  const game = h("section", { class: "game", "aria-label": "Where will the ball go?" });
  const list = h("div", { class: "runs" }, h("p", { class: "hint" }, "Looking for runs …"));
  main.replaceChildren(
    h(
      "div",
      { class: "page home" },
      h(
        "div",
        { class: "hero" },
        h(
          "div",
          { class: "pitch" },
          h("h1", { tabindex: "-1" }, "Where will the ball go?"),
          h("p", {}, "One picture of a ball does not tell. The pictures before it do: who remembers them can predict. That is what a recurrent network is for."),
          h("p", {}, h("a", { class: "go primary", href: `#/${lessons[0]?.slug ?? "sandbox"}` }, "Begin with lesson 1"), " ", h("a", { class: "go", href: "#/sandbox" }, "Open the sandbox")),
        ),
        game,
      ),
      h("h2", {}, "Lessons"),
      h("ol", { class: "cards" }, lessons.map(card)),
      h("h2", {}, "Sandbox and runs"),
      h(
        "div",
        { class: "yours" },
        h("a", { class: "card", href: "#/sandbox" }, h("strong", {}, "Sandbox"), h("span", {}, "Choose a cell and its knobs, train it, and see the gradient flow back. Type a cell of your own.")),
        h("div", { class: "card still" }, h("strong", {}, "Runs"), list),
      ),
    ),
  );
  const ball = guessing(game, flights);
  listRuns(list, runs);
  return { leave: ball.leave };
}

function card({ slug, number, title, minutes, question }) {
  const done = memory.get(`done.${slug}`) !== null;
  return h(
    "li",
    {},
    h(
      "a",
      { class: `card${done ? " done" : ""}`, href: `#/${slug}` },
      h("span", { class: "card-head" }, h("span", {}, `${number} · ${minutes} min`), h("span", { class: "tick" }, done ? "✓ done" : "")),
      h("strong", {}, title),
      h("span", {}, question),
    ),
  );
}

async function listRuns(list, runs) {
  try {
    const found = await runs();
    const rows = found.map((run) => h("li", {}, h("a", { href: `#/run/${encodeURIComponent(run.name)}` }, run.name), h("span", {}, run.summary ?? run.task ?? "")));
    list.replaceChildren(
      rows.length ? h("ul", {}, rows) : h("p", {}, "No run yet. Train one in the sandbox, or with ", h("code", {}, "elman train"), "."),
    );
  } catch (error) {
    list.replaceChildren(h("p", { role: "alert" }, `The list of runs could not be read: ${error.message}`));
  }
}

/** The ball in its box: seen for ten frames, then hidden; a click is a guess of where it is ten frames later. */
function guessing(game, flights) {
  const canvas = h("canvas", { tabindex: "0", role: "img", "aria-label": "A box with a flying ball. Arrow keys move a cross, Enter guesses." });
  const told = h("p", { class: "told", "aria-live": "polite" }, "Watch …");
  const again = h("button", { type: "button", onclick: () => start(round + 1) }, "Another ball");
  game.append(h("div", { class: "box" }, canvas), told, again);
  const ctx = canvas.getContext("2d");
  let paths = [];
  let round = 0;
  let phase = "wait"; // wait, fly, ask, tell
  let at = 0;
  let guess = null;
  let cross = [0.5, 0.5];
  let frame = 0;
  let gone = false;
  const errors = [];

  function start(next) {
    cancelAnimationFrame(frame);
    round = next % paths.length;
    [phase, at, guess, cross] = ["fly", 0, null, [0.5, 0.5]];
    told.textContent = "Watch …";
    if (still()) return hide(); // without motion: the path that was seen stands as a trail
    return run(SEEN, hide);
  }

  function run(until, then) {
    const began = performance.now() - at * RATE;
    const step = (now) => {
      if (gone) return;
      at = Math.min(until, Math.max(at, (now - began) / RATE));
      draw();
      if (at < until) frame = requestAnimationFrame(step);
      else then();
    };
    frame = requestAnimationFrame(step);
  }

  function hide() {
    [phase, at] = ["ask", SEEN];
    told.textContent = "Ten frames later: where will it be? Click.";
    draw();
  }

  function answer(place) {
    if (phase !== "ask") return;
    [phase, guess] = ["tell", place];
    const truth = paths[round].at(-1);
    const tell = () => {
      const error = Math.hypot(truth[0] - guess[0], truth[1] - guess[1]);
      errors.push(error);
      const mean = errors.length > 1 ? ` Your mean of ${errors.length}: ${number(Math.round((100 * errors.reduce((a, b) => a + b)) / errors.length))} %.` : "";
      told.textContent = `You were ${Math.round(100 * error)} % of the box away.${mean}`;
      draw();
    };
    if (still()) {
      at = paths[round].length - 1;
      return void tell();
    }
    run(paths[round].length - 1, tell);
  }

  function draw() {
    const size = canvas.clientWidth;
    if (!size || !paths.length) return;
    const ratio = devicePixelRatio || 1;
    if (canvas.width !== Math.round(size * ratio)) canvas.width = canvas.height = Math.round(size * ratio);
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    paint(ctx, size, theme(), { path: paths[round], phase, at, guess, cross: document.activeElement === canvas && canvas.matches(":focus-visible") ? cross : null, trail: still() });
  }

  canvas.addEventListener("pointerdown", (event) => {
    const box = canvas.getBoundingClientRect();
    answer([(event.clientX - box.left) / box.width, 1 - (event.clientY - box.top) / box.height]);
  });
  canvas.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: [-0.04, 0], ArrowRight: [0.04, 0], ArrowUp: [0, 0.04], ArrowDown: [0, -0.04] }[event.key];
    if (by) cross = cross.map((value, axis) => Math.min(Math.max(value + by[axis], 0), 1));
    else if (event.key === "Enter" || event.key === " ") answer(cross);
    else return;
    event.preventDefault();
    draw();
  });
  for (const name of ["focus", "blur"]) canvas.addEventListener(name, draw);
  new ResizeObserver(draw).observe(canvas);
  flights().then(
    (found) => {
      if (gone) return;
      ({ paths } = found);
      start(Math.floor(Math.random() * paths.length));
    },
    (error) => (told.textContent = `The flights could not be read: ${error.message}`),
  );
  return {
    leave() {
      gone = true;
      cancelAnimationFrame(frame);
    },
  };
}

function paint(ctx, size, colors, { path, phase, at, guess, cross, trail }) {
  ctx.clearRect(0, 0, size, size);
  const place = ([x, y]) => [x * size, (1 - y) * size];
  const disc = (center, radius, fill) => {
    ctx.beginPath();
    ctx.arc(...place(center), radius * size, 0, 2 * Math.PI);
    ctx.fillStyle = fill;
    ctx.fill();
  };
  const between = (value) => {
    const low = Math.min(Math.floor(value), path.length - 2);
    return [0, 1].map((axis) => path[low][axis] + (path[low + 1][axis] - path[low][axis]) * (value - low));
  };
  const curve = (from, to, color, dash) => {
    ctx.beginPath();
    for (let index = from; index <= to; index++) ctx[index === from ? "moveTo" : "lineTo"](...place(path[index]));
    ctx.strokeStyle = color;
    ctx.lineWidth = 2;
    ctx.setLineDash(dash);
    ctx.stroke();
    ctx.setLineDash([]);
  };
  const [ink, other] = colors.lines;
  if (phase === "tell" || trail) curve(0, Math.min(SEEN, Math.floor(at)), ink, [2, 4]);
  if (phase === "tell") curve(SEEN, Math.floor(at), ink, []);
  if (trail) for (let index = 0; index <= SEEN; index += PER_FRAME) disc(path[index], 0.012, ink);
  if (phase === "fly" || phase === "tell" || (phase === "ask" && trail)) disc(between(at), RADIUS, ink);
  if (phase === "ask" && !trail) {
    ctx.beginPath(); // where it was seen last
    ctx.arc(...place(path[SEEN]), RADIUS * size, 0, 2 * Math.PI);
    ctx.strokeStyle = ink;
    ctx.lineWidth = 2;
    ctx.setLineDash([3, 5]);
    ctx.stroke();
    ctx.setLineDash([]);
    ctx.fillStyle = colors.text;
    ctx.font = `600 ${Math.round(size / 18)}px system-ui, sans-serif`;
    ctx.textAlign = "center";
    ctx.fillText("Where will it go? Click.", size / 2, size / 2);
  }
  const mark = guess ?? (phase === "ask" ? cross : null);
  if (!mark) return;
  const [x, y] = place(mark);
  ctx.strokeStyle = other;
  ctx.lineWidth = 4;
  ctx.beginPath();
  for (const side of [-1, 1]) {
    ctx.moveTo(x - 9, y - 9 * side);
    ctx.lineTo(x + 9, y + 9 * side);
  }
  ctx.stroke();
}
