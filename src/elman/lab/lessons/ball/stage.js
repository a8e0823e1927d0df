// The box with the ball, where the visitor expects it, and where the two networks do.
const SVG = "http://www.w3.org/2000/svg";
const COLORS = { truth: "light-dark(#1b1b1b, #e8e6e1)", feedforward: "light-dark(#C84E00, #F28C3A)", gru: "light-dark(#0072B2, #56B4E9)", you: "light-dark(#00805D, #2FC79A)" };
const DASHES = { truth: "", feedforward: "2 3", gru: "7 3" };

function svg(tag, attributes = {}, color = null) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (color) element.style.setProperty(tag === "polyline" || tag === "path" ? "stroke" : "fill", color);
  return element;
}

const place = ([x, y]) => [100 * x, 100 * (1 - y)];
const far = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]);
const percent = (value) => `${(100 * value).toFixed(1)} %`;

export default async function (lesson) {
  const { h } = lesson;
  lesson.range({ name: "frames", label: "Images seen before the lights go out", min: 1, max: 12, step: 1, value: 4 });
  const throwKnob = lesson.range({ name: "seed", label: "Throw", min: 0, max: 99, step: 1, value: 0 });
  lesson.button("Throw another", () => throwKnob.set((throwKnob.value + 1) % (lesson.replay ? 8 : 100)));

  const box = svg("svg", { viewBox: "-2 -2 104 104", role: "img", tabindex: "0", "aria-label": "A ball in a box. Click where you expect it next, or move the mark by the arrow keys and press Enter." });
  box.style.maxWidth = "30rem";
  box.style.width = "100%";
  box.style.display = "block";
  box.style.touchAction = "manipulation";
  const key = h("p", {}, "● the ball, and its true path after your guess   × you   – – recurrent network (GRU)   · · · feed-forward network");
  const mean = h("div");
  lesson.stage.append(box, key, mean);
  const chart = lesson.charts.lines(mean, {
    title: "Mean error in the next place, over 96 throws",
    x: { label: "images seen", start: 1 },
    y: { label: "% of the box", min: 0 },
    series: [],
  });

  let flight = null;
  let errors = {};
  let mark = [0.5, 0.5];
  let guess = null;
  let frames = 4;

  function line(points, name) {
    return svg("polyline", { points: points.map((p) => place(p).join(",")).join(" "), fill: "none", "stroke-width": 1, "stroke-dasharray": DASHES[name] ?? "" }, COLORS[name]);
  }

  function cross(at, color, size = 2.4) {
    const [x, y] = place(at);
    return svg("path", { d: `M${x - size},${y - size}L${x + size},${y + size}M${x - size},${y + size}L${x + size},${y - size}`, fill: "none", "stroke-width": 1 }, color);
  }

  function draw() {
    const frame = svg("rect", { x: 0, y: 0, width: 100, height: 100, fill: "none", stroke: "currentColor", "stroke-width": 0.6 });
    box.replaceChildren(frame);
    if (!flight) return;
    flight.seen.forEach((at, index) => {
      const [cx, cy] = place(at);
      const ball = svg("circle", { cx, cy, r: 8, "fill-opacity": 0.12 + (0.7 * (index + 1)) / flight.seen.length }, COLORS.truth);
      box.append(ball);
    });
    if (!guess) {
      box.append(cross(mark, COLORS.you));
      return;
    }
    const last = flight.seen.at(-1);
    for (const [name, path] of Object.entries(flight.paths)) {
      box.append(line([last, ...path.places], name));
      const [cx, cy] = place(path.places[0]);
      box.append(svg("circle", { cx, cy, r: 1.6 }, COLORS[name]));
    }
    box.append(line([last, ...flight.truth], "truth"));
    const [cx, cy] = place(flight.truth[0]);
    box.append(svg("circle", { cx, cy, r: 1.8 }, COLORS.truth), cross(guess, COLORS.you, 3));
  }

  function report() {
    const { gru, feedforward } = flight?.paths ?? {};
    if (!guess || !gru || !feedforward) return lesson.say("Where will the ball be in the next image? Click in the box.");
    return lesson.say(`Error in the next place: you ${percent(far(guess, flight.truth[0]))}, recurrent network ${percent(gru.next_error)}, feed-forward network ${percent(feedforward.next_error)} of the box.`);
  }

  function choose(at) {
    if (!flight) return;
    guess = at;
    draw();
    report();
  }

  box.addEventListener("click", (event) => {
    const area = box.getBoundingClientRect();
    const [x, y] = [((event.clientX - area.left) / area.width) * 104 - 2, ((event.clientY - area.top) / area.height) * 104 - 2];
    choose([Math.min(1, Math.max(0, x / 100)), Math.min(1, Math.max(0, 1 - y / 100))]);
  });
  box.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: [-0.02, 0], ArrowRight: [0.02, 0], ArrowUp: [0, 0.02], ArrowDown: [0, -0.02] }[event.key];
    if (by) mark = mark.map((value, axis) => Math.min(1, Math.max(0, value + by[axis])));
    else if (event.key === "Enter" || event.key === " ") choose([...mark]);
    else return;
    event.preventDefault();
    draw();
  });

  function goals() {
    const error = errors.gru?.errors[frames - 1];
    if (error === undefined) return;
    if (error > 0.05) lesson.reach("break");
    if (error < 0.03) lesson.reach("cure");
  }

  lesson.ask("ball.errors", { throws: 96, seed: 0 }, (event) => {
    if (event.event !== "errors") return;
    errors = { ...errors, [event.network]: event };
    chart.update({ series: Object.values(errors).map(({ title, errors: each }) => ({ name: title, values: each.map((e) => 100 * e) })) });
    goals();
  });
  lesson.show("break", { frames: 1 });
  lesson.show("cure", { frames: 8 });
  let before = "";
  lesson.changed(({ frames: seen, seed }) => {
    frames = seen;
    const now = `${seen} ${seed}`;
    if (now !== before) guess = null;
    before = now;
    const next = { paths: {} };
    lesson.ask("ball.throw", { frames: seen, seed }, (event) => {
      if (event.event === "throw") Object.assign(next, { seen: event.seen, truth: event.truth });
      if (event.event === "path") next.paths[event.network] = event;
      if (event.event !== "end") return;
      flight = next;
      draw();
      report();
      goals();
    });
  });
}
