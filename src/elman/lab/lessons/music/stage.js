// Lesson 11. A roll that grows as the network draws it, and that WebAudio plays without a file.
const LOWEST = 21; // the MIDI number of the lowest key of a piano
const NAMES = ["C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B"];
const nameOf = (key) => `${NAMES[(key + LOWEST) % 12]}${Math.floor((key + LOWEST) / 12) - 1}`;

export default async function (lesson) {
  const { h, number } = lesson;
  const rollOf = h("div");
  const playing = h("div");
  const countsOf = h("div");
  const memoryOf = h("div");
  lesson.stage.append(playing, rollOf, countsOf, memoryOf);

  lesson.range({ name: "temperature", label: "Temperature", min: 0.1, max: 2, step: 0.1, value: 0.8 });
  lesson.choice({
    name: "memory",
    label: "Memory",
    value: 0,
    options: [{ value: 0, label: "all" }, { value: 8, label: "one bar" }, { value: 1, label: "one frame" }],
  });
  if (!lesson.replay) {
    lesson.choice({ name: "prime", label: "Begins with", value: 8, options: [{ value: 0, label: "silence" }, { value: 8, label: "a bar by Bach" }, { value: 16, label: "two bars" }] });
    lesson.range({ name: "piece", label: "Chorale", min: 0, max: 5, step: 1, value: 0, format: (value) => String(value + 1) });
  }
  lesson.range({ name: "seed", label: "Seed", min: 0, max: 20, step: 1, value: 0 });
  lesson.button("Compose", () => compose(), { primary: true });
  const listen = h("button", { type: "button", class: "primary", onclick: () => (sound.running ? sound.stop() : sound.play(frames, tempo())) }, "Listen");
  const tempoInput = h("input", { type: "range", min: 50, max: 160, step: 5, value: 90, id: "tempo" });
  const place = h("progress", { max: 1, value: 0, "aria-label": "Place in the piece" });
  const tempo = () => Number(tempoInput.value);
  playing.append(listen, h("label", { for: "tempo" }, "Tempo "), tempoInput, place);

  const roll = lesson.charts.heat(rollOf, { title: "The piano roll", values: [], row: "key", column: "eighth note", value: "sounds", min: 0, max: 1 });
  const counts = lesson.charts.bars(countsOf, { title: "What was composed", labels: [], series: [{ name: "share", values: [] }], x: { label: "share", min: 0, max: 1 } });
  const memory = lesson.charts.lines(memoryOf, {
    title: "What the past is worth: six chorales by Bach",
    x: { label: "frames that the network sees", log: true },
    y: { label: "surprise, −ln p of a frame" },
    series: [{ name: "surprise", values: [] }],
  });

  let frames = []; // the keys of each frame
  let primed = 0;
  const sound = player((now, running) => {
    listen.textContent = running ? "Stop" : "Listen";
    place.value = running && frames.length ? now / frames.length : 0;
  });
  lesson.leave(() => sound.stop());
  lesson.show("break", () => shown(2));
  lesson.show("cure", () => shown(0.7));
  lesson.ask("music.memory", {}, (event) => event.event === "memory" && remembered(event));

  function shown(temperature) {
    lesson.set({ temperature, memory: 0, seed: 0 });
    compose();
  }

  function compose() {
    sound.stop();
    frames = [];
    const settings = lesson.settings();
    lesson.ask("music.compose", settings, (event) => {
      if (event.event === "frames") {
        frames.push(...event.keys);
        draw();
      }
      if (event.event === "measured") measured(settings, event);
    });
  }

  function draw() {
    const sounding = frames.flat();
    const low = Math.min(...sounding, 88) - 1;
    const high = Math.max(...sounding, 0) + 1;
    const keys = Array.from({ length: Math.max(1, high - low + 1) }, (_, index) => high - index);
    roll.update({
      values: keys.map((key) => frames.map((frame) => (frame.includes(key) ? 1 : 0))),
      rows: keys.map(nameOf),
      columns: frames.map((_, index) => String(index + 1)),
      sentence: `${frames.length} eighth notes, ${number(sounding.length)} keys pressed, from ${nameOf(low + 1)} to ${nameOf(high - 1)}.`,
    });
  }

  function measured(settings, event) {
    primed = event.prime;
    const part = (share) => `${Math.round(100 * share)} %`;
    counts.update({
      labels: [`fits ${event.scale} major`, "same as the frame before"],
      series: [{ name: "share", values: [event.in_scale, event.held] }],
      sentence: `${part(event.in_scale)} of the notes fit ${event.scale} major; ${event.chords} different chords; ${number(event.notes)} notes at a time.`,
    });
    lesson.say(`At temperature ${number(settings.temperature)}${settings.memory ? `, with a memory of ${settings.memory}` : ""}: ${part(event.in_scale)} of the notes fit one major scale, with ${event.chords} different chords.${primed ? ` The first ${primed} frames are Bach's.` : ""}`);
    if (event.in_scale < 0.75) lesson.reach("break");
    if (event.in_scale >= 0.95 && event.chords >= 20) lesson.reach("cure");
  }

  function remembered({ contexts, nll, longest }) {
    memory.update({
      x: { label: "frames that the network sees", log: true, values: [...contexts, longest] },
      series: [{ name: "surprise", values: nll }],
      sentence: `With one frame ${number(nll[0])} nats a frame, with eight ${number(nll[contexts.indexOf(8)])}, with all ${number(nll.at(-1))}.`,
    });
  }

  compose();
}

/** Plays frames of keys: {play(frames, tempo), stop(), running}. `tell(frame, running)` is called as it goes on. */
function player(tell) {
  let context = null;
  let voices = [];
  let timer = null;

  function stop() {
    clearInterval(timer);
    timer = null;
    for (const voice of voices) voice.stop();
    voices = [];
    tell(0, false);
  }

  function play(frames, tempo) {
    stop();
    if (!frames.length) return;
    context ??= new AudioContext();
    context.resume();
    const long = 30 / tempo; // seconds of an eighth note
    const begin = context.currentTime + 0.1;
    const master = context.createGain();
    master.gain.value = 0.5;
    const limiter = context.createDynamicsCompressor();
    master.connect(limiter).connect(context.destination);
    for (const note of notesOf(frames)) voices.push(sounded(note, begin, long, master));
    timer = setInterval(() => {
      const now = (context.currentTime - begin) / long;
      if (now > frames.length + 1) return stop();
      return tell(Math.max(0, Math.min(now, frames.length)), true);
    }, 60);
    tell(0, true);
  }

  function sounded({ key, start, stop: end }, begin, long, master) {
    const wave = context.createOscillator();
    const loud = context.createGain();
    const [from, to] = [begin + start * long, begin + end * long];
    wave.type = "triangle";
    wave.frequency.value = 440 * 2 ** ((key + LOWEST - 69) / 12);
    loud.gain.setValueAtTime(0, from);
    loud.gain.linearRampToValueAtTime(0.25, from + 0.02);
    loud.gain.setTargetAtTime(0.12, from + 0.02, 0.3);
    loud.gain.setTargetAtTime(0, to - 0.05, 0.04);
    wave.connect(loud).connect(master);
    wave.start(from);
    wave.stop(to + 0.2);
    return wave;
  }

  return {
    play,
    stop,
    get running() {
      return timer !== null;
    },
  };
}

/** Frames of keys as notes: a key that sounds in frames in a row is one long note. */
function notesOf(frames) {
  const notes = [];
  const open = new Map();
  [...frames, []].forEach((frame, now) => {
    for (const [key, start] of open) {
      if (frame.includes(key)) continue;
      notes.push({ key, start, stop: now });
      open.delete(key);
    }
    for (const key of frame) if (!open.has(key)) open.set(key, now);
  });
  return notes;
}
