// The gradient by steps, the activation's derivative, and the two sentences.
const ACTIVATIONS = ["tanh", "relu", "identity", "sigmoid"];
const NETWORKS = [{ value: "tanh", label: "tanh" }, { value: "lstm", label: "LSTM" }, { value: "gru", label: "GRU" }];

export default async function (lesson) {
  const { h, number } = lesson;
  lesson.range({ name: "radius", label: "Radius of W_hh", min: 0.2, max: 2, step: 0.05, value: 1 });
  lesson.choice({ name: "activation", label: "Activation s_h", options: ACTIVATIONS, value: "tanh" });
  lesson.range({ name: "steps", label: "Steps T", min: 5, max: 200, step: 5, value: 50 });
  lesson.range({ name: "inputs", label: "Size of the inputs", min: 0.01, max: 3, log: true, value: 0.1 });
  if (!lesson.replay) lesson.range({ name: "seed", label: "Seed", min: 0, max: 20, step: 1, value: 0 });
  lesson.choice({ name: "kind", label: "Sentence", options: [{ value: "clouds", label: "The clouds are in the" }, { value: "France", label: "I grew up in France" }], value: "France" });
  lesson.range({ name: "between", label: "Sentences between", min: 0, max: 10, step: 1, value: 3 });
  lesson.choice({ name: "network", label: "Who reads it", options: NETWORKS, value: "tanh" });

  const [flowPlace, slopePlace, sentencePlace, wordsPlace, distancePlace] = Array.from({ length: 5 }, () => h("div"));
  const text = h("p", { class: "recall", lang: "en" });
  sentencePlace.append(h("h3", {}, "The last word"), text);
  lesson.stage.append(flowPlace, slopePlace, sentencePlace, wordsPlace, distancePlace);
  const flow = lesson.charts.lines(flowPlace, { title: "‖∂L/∂h_t‖ by step t; the loss is at the last step", x: { label: "step t", start: 1 }, y: { label: "norm", log: true }, series: [] });
  const slope = lesson.charts.lines(slopePlace, { title: "The activation and its derivative", x: { label: "z" }, y: { label: "" }, series: [] });
  const words = lesson.charts.bars(wordsPlace, { title: "P(last word)", x: { label: "probability", min: 0, max: 1 } });
  const distance = lesson.charts.lines(distancePlace, { title: "How often the word is right, by sentences between", x: { label: "sentences between", start: 0 }, y: { label: "share", min: 0, max: 1 }, series: [] });

  lesson.show("break", { radius: 0.5, activation: "tanh", steps: 50, inputs: 0.1 });
  lesson.show("cure", { radius: 1, activation: "tanh", steps: 50, inputs: 0.1 });

  const curves = [];
  lesson.ask("gradients.distance", { texts: 24, seed: 0 }, (event) => {
    if (event.event !== "distance") return;
    curves.push({ name: event.title, values: event.accuracy });
    distance.update({ series: curves });
  });

  let drawn = "";
  let read = "";
  lesson.changed(({ radius, activation, steps, inputs, seed = 0, kind, between, network }) => {
    const flowing = { radius, activation, steps, inputs, seed };
    if (drawn !== JSON.stringify(flowing)) {
      drawn = JSON.stringify(flowing);
      measure(flowing);
    }
    const recalled = { network, kind, between: kind === "clouds" ? 0 : between, seed: 0 };
    if (read !== JSON.stringify(recalled)) {
      read = JSON.stringify(recalled);
      recall(recalled);
    }
  });

  function measure(settings) {
    lesson.ask("gradients.derivative", { activation: settings.activation }, (event) => {
      if (event.event !== "derivative") return;
      slope.update({ x: { label: "z", values: event.z }, series: [{ name: "s_h(z)", values: event.h }, { name: "s_h'(z)", values: event.slope }], sentence: `The derivative of ${settings.activation} is at most ${number(event.largest)}.` });
    });
    lesson.ask("gradients.flow", settings, (event) => {
      if (event.event !== "flow") return;
      const half = Number.isFinite(event.half_life) && event.half_life < settings.steps ? ` It halves every ${number(event.half_life)} steps.` : "";
      const sentence = `The gradient ${event.verdict}: at the first step it is ${number(event.ratio)} of that at the last.${half}`;
      flow.update({ series: [{ name: "‖∂L/∂h_t‖", values: event.gradient.map((value) => (value > 0 ? value : null)) }], sentence });
      lesson.say(sentence);
      if (event.ratio < 1e-9 && settings.steps <= 50) lesson.reach("break");
      if (event.verdict === "holds" && settings.steps >= 50) lesson.reach("cure");
    });
  }

  function recall(settings) {
    lesson.ask("gradients.recall", settings, (event) => {
      if (event.event !== "recall") return;
      const largest = Math.max(...event.gradient.map((value) => value ?? 0));
      text.replaceChildren(...event.words.flatMap((word, index) => [tinted(word, event.gradient[index], largest), " "]), h("strong", {}, event.labels[0]));
      const said = event.right ? "right" : `wrong: ${event.label} was right, with P = ${number(event.probability)}`;
      words.update({ labels: event.labels, series: [{ name: "P", values: event.probabilities }], best: event.labels.indexOf(event.label), sentence: `It says ${event.labels[0]}, which is ${said}.` });
    });
  }

  function tinted(word, share, largest) {
    const mark = h("span", { title: `${word}: ${number(share)} of the gradient at the last word` }, word);
    const part = largest > 0 && share > 0 ? Math.max(0, 1 + Math.log10(share / largest) / 2) : 0;
    mark.style.background = `color-mix(in srgb, light-dark(#56B4E9, #0072B2) ${Math.round(75 * part)}%, transparent)`;
    mark.style.borderRadius = "3px";
    return mark;
  }
}
