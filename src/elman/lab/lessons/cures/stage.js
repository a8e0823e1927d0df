// Training runs laid over each other, the cliff, and the windows of truncated backpropagation.
const CURES = ["none", "relu", "zero biases", "orthogonal", "identity", "window", "LSTM", "LSTM, chrono", "GRU"];
const NETWORKS = ["tanh", "orthogonal", "LSTM, chrono"];
const KEPT_RUNS = 5;

export default async function (lesson) {
  const { h, number } = lesson;
  lesson.choice({ name: "cure", label: "Pill", options: CURES, value: "none" });
  lesson.choice({ name: "task", label: "Task", options: ["adding", "first"], value: "adding" });
  lesson.range({ name: "rate", label: "Learning rate", min: 0.0001, max: 10, log: true, value: 0.01 });
  lesson.choice({ name: "clip", label: "Clip the norm at", options: [{ value: 0, label: "no clipping" }, { value: 1, label: "1" }], value: 1 });
  if (!lesson.replay) lesson.range({ name: "seed", label: "Seed", min: 0, max: 20, step: 1, value: 0 });
  lesson.button("Train", start, { primary: true });
  lesson.button("Stop", () => training?.stop());
  lesson.choice({ name: "network", label: "Windows: network", options: NETWORKS, value: "tanh" });
  lesson.range({ name: "kept", label: "Windows: last steps that are kept", min: 1, max: 100, step: 1, value: 20 });
  lesson.range({ name: "w", label: "Cliff: first weight", min: 3, max: 8, step: 0.5, value: 6 });
  lesson.range({ name: "limit", label: "Cliff: clip the norm at", min: 0.01, max: 10, log: true, value: 0.1 });

  const [curvePlace, cliffPlace, windowPlace, biasPlace] = Array.from({ length: 4 }, () => h("div"));
  lesson.stage.append(curvePlace, cliffPlace, windowPlace, biasPlace);
  const curves = lesson.charts.lines(curvePlace, { title: "Validation error while training", x: { label: "update" }, y: { label: "mean squared error", log: true }, series: [], levels: [{ y: 1 / 6, label: "saying the mean (adding)" }], sentence: "Choose a pill, and press Train." });
  const cliff = lesson.charts.lines(cliffPlace, { title: "The cliff: the loss of one unit by its weight", x: { label: "w" }, y: { label: "loss" }, series: [] });
  const windows = lesson.charts.lines(windowPlace, { title: "T = 100: the gradient by step, and what the window keeps", x: { label: "step t", start: 1 }, y: { label: "norm", log: true }, series: [] });
  const bias = lesson.charts.lines(biasPlace, { title: "What a window leaves out of the gradient", x: { label: "last steps kept", log: true }, y: { label: "share left out", min: 0 }, series: [] });

  let training = null;
  const runs = [];
  function start() {
    const { cure, task, rate, clip, seed = 0 } = lesson.settings();
    training?.stop();
    const run = { name: `${cure}, ${task}, rate ${number(rate)}${clip ? "" : ", no clip"}`, x: [], values: [] };
    const earlier = runs.findIndex(({ name }) => name === run.name);
    if (earlier >= 0) runs.splice(earlier, 1);
    runs.push(run);
    if (runs.length > KEPT_RUNS) runs.shift();
    lesson.say(`Training: ${run.name}.`);
    training = lesson.ask("cures.train", { cure, task, rate, clip, seed }, (event) => {
      if (event.event === "curve") {
        run.x.push(event.update);
        run.values.push(event.mse > 0 ? event.mse : null);
        curves.update({ series: runs.map((each) => ({ ...each })), sentence: `${run.name}: error ${number(event.mse)} after ${event.update} updates.` });
      }
      if (event.event !== "result") return;
      if (event.diverged) {
        lesson.say(`${run.name}: it diverges after ${event.update} updates.`);
        lesson.reach("break");
      } else {
        lesson.say(`${run.name}: error ${number(event.mse)} after ${event.update} updates${task === "adding" ? "; saying the mean has 0.167" : ""}.`);
        if (task === "adding" && event.mse < 0.01) lesson.reach("cure");
      }
    });
  }

  const train = (settings) => () => {
    lesson.set(settings);
    setTimeout(start, 200);
  };
  lesson.show("break", train({ cure: "relu", task: "adding", rate: 3, clip: 0 }));
  lesson.show("cure", train({ cure: "GRU", task: "adding", rate: 0.01, clip: 1 }));

  let cut = "";
  let walked = "";
  lesson.changed(({ network, kept, w, limit }) => {
    if (cut !== `${network} ${kept}`) {
      cut = `${network} ${kept}`;
      measure(network, kept);
    }
    if (walked !== `${w} ${limit}`) {
      walked = `${w} ${limit}`;
      descend(w, limit);
    }
  });

  function measure(network, kept) {
    lesson.ask("cures.windows", { network, kept, seed: 0 }, (event) => {
      if (event.event === "flow") {
        const positive = (values) => values.map((value) => (value > 0 ? value : null));
        windows.update({ series: [{ name: "whole gradient", values: positive(event.gradient) }, { name: `last ${kept} steps`, values: positive(event.kept) }] });
      }
      if (event.event !== "bias") return;
      const sentence = `${network}: with the last ${kept} of 100 steps, ${number(100 * event.chosen_bias)} % of the gradient by the weights is left out.`;
      bias.update({ x: { label: "last steps kept", log: true, values: event.kept }, series: [{ name: "left out", values: event.bias }], sentence });
    });
  }

  function descend(w, limit) {
    const series = [];
    lesson.ask("cures.cliff", { w, limit, descent_rate: 1 }, (event) => {
      if (event.event === "surface") series.push({ name: "loss", x: event.w, values: event.loss });
      if (event.event === "descent") series.push({ name: event.name === "free" ? "40 steps, no clipping" : `40 steps, clipped at ${number(limit)}`, ...inside(event) });
      if (event.event !== "descent" || series.length < 3) return;
      const thrown = [series[1], series[2]].map(({ out }) => out);
      cliff.update({ series: series.map(({ out, ...item }) => item), sentence: `Without clipping ${thrown[0] ? `one step throws the weight to ${number(thrown[0])}` : "the weight stays near"}; with clipping ${thrown[1] ? `it goes to ${number(thrown[1])}` : "it stays near the wall"}.` });
    });
  }

  /** The places of a descent in the picture, in order of w as a curve needs them, and where it was thrown, if it was. */
  function inside({ w, loss }) {
    const points = w.map((x, index) => [x, loss[index]]).filter(([x]) => x >= 3 && x <= 8).sort(([a], [b]) => a - b);
    const unique = points.filter(([x], index) => index === 0 || x > points[index - 1][0]);
    return { x: unique.map(([x]) => x), values: unique.map(([, y]) => y), out: w.find((x) => x < 3 || x > 8) };
  }
}
