// Lesson 10. A sentence as tokens, indices and vectors, and the word that comes next.
const PROMPT = "This morning I took my cat for a";
const SENTENCES = [
  PROMPT,
  "This morning I took my dog for a",
  "He likes to",
  "She could not",
  "The movie was not",
  "This morning I took my iguana for a",
];
const WORDS = ["cat", "dog", "morning", "walk", "good", "bad", "three", "she", "actor"];
const LIKELIER = "He likes to";

export default async function (lesson) {
  const { h, number } = lesson;
  const [tokensOf, rankOf, nextOf, nearOf, vectorOf, writtenOf] = Array.from({ length: 6 }, () => h("div"));
  lesson.stage.append(tokensOf, rankOf, nextOf, writtenOf, nearOf, vectorOf);

  const text = lesson.replay
    ? lesson.choice({ name: "text", label: "Sentence", options: SENTENCES, value: PROMPT })
    : lesson.text({ name: "text", label: "Sentence", value: PROMPT, max: 200 });
  const target = lesson.replay ? null : lesson.text({ name: "target", label: "Rank of the word", value: "walk", max: 30 });
  const temperature = lesson.range({ name: "temperature", label: "Temperature", min: 0.1, max: 3, step: 0.1, value: 1 });
  const word = lesson.replay
    ? lesson.choice({ name: "word", label: "Neighbors of", options: WORDS, value: "cat" })
    : lesson.text({ name: "word", label: "Neighbors of", value: "cat", max: 30, hint: "or choose a word of the sentence" });
  lesson.button("Write on", () => write());

  const next = lesson.charts.bars(nextOf, { title: "The next word", x: { label: "chance", min: 0 } });
  const near = lesson.charts.dots(nearOf, { title: "Neighbors, on the two main axes of all vectors", points: [], x: { label: "first axis" }, y: { label: "second axis" } });
  const cosine = lesson.charts.bars(vectorOf, { title: "The same, by the cosine of their vectors", x: { label: "cosine", min: 0, max: 1 } });
  lesson.show("break", { text: SENTENCES.at(-1) });
  lesson.show("cure", { text: LIKELIER, temperature: 1 });

  let usual = null; // the chance of "walk" after the lecture's sentence
  await lesson.ask("words.next", { text: PROMPT, temperature: 1 }, (event) => event.event === "next" && (usual = event.chance)).done;
  lesson.changed((now) => {
    const asked = { text: now.text, temperature: now.temperature, ...(target && now.target.trim() ? { target: now.target } : {}) };
    if (now.text.trim()) lesson.ask("words.next", asked, (event) => event.event === "next" && followed(asked, event));
    if (now.word.trim()) lesson.ask("words.near", { word: now.word }, (event) => event.event === "near" && beside(event));
  });

  function followed(asked, event) {
    const chips = event.tokens.map((token, place) => h("button", {
      type: "button",
      "aria-label": `${token}, index ${event.indices[place]}: show its neighbors`,
      onclick: () => !lesson.replay && token !== "<unk>" && word.set(token),
    }, h("strong", {}, token), " ", h("span", { class: "hint" }, String(event.indices[place]))));
    tokensOf.replaceChildren(
      h("div", { class: "tools", role: "group", "aria-label": "Tokens and their indices" }, chips),
      h("p", { class: "hint" }, event.unknown.length ? `Not among the ${number(event.vocabulary)} words: ${event.unknown.join(", ")}. The network sees <unk>.` : `All are among the ${number(event.vocabulary)} words of the vocabulary.`),
    );
    rankOf.replaceChildren(h("p", {}, h("strong", {}, `"${event.target}": `), event.rank === null ? "not in the vocabulary, so it cannot be said." : `rank ${number(event.rank)} of ${number(event.vocabulary)}, chance ${number(event.chance)}, lift ${number(event.lift)} (its share of all words is ${number(event.share)}).`));
    const place = event.words.indexOf(event.target);
    next.update({
      labels: event.words,
      series: [{ name: "chance", values: event.chances }],
      best: place < 0 ? undefined : place,
      sentence: `Likeliest: ${event.words.slice(0, 3).map((token, index) => `${token} ${number(event.chances[index])}`).join(", ")}. At temperature ${number(asked.temperature)} the choice is as wide as among ${number(Math.exp(event.entropy))} equal words.`,
    });
    lesson.say(event.rank === null ? `"${event.target}" is not in the vocabulary.` : `"${event.target}" has rank ${number(event.rank)} and lift ${number(event.lift)}.`);
    if (event.unknown.length) lesson.reach("break");
    const said = event.tokens.includes("walk");
    if (event.target === "walk" && asked.temperature === 1 && usual && !said && event.chance >= 10 * usual) lesson.reach("cure");
  }

  function beside(event) {
    near.update({
      points: event.words.map((name, index) => ({ x: event.places[index][0], y: event.places[index][1], name, group: index === 0 ? "word" : "neighbor" })),
      onChoose: (index) => !lesson.replay && word.set(event.words[index]),
      sentence: event.unknown ? `Not in the vocabulary: these are the neighbors of <unk>.` : `"${event.word}" is word ${number(event.index)} and stands ${number(event.count)} times in the text. Its vector of ${event.size} numbers begins ${event.vector.slice(0, 3).map((value) => value.toFixed(2)).join(", ")}.`,
    });
    cosine.update({ labels: event.words.slice(1), series: [{ name: "cosine", values: event.cosine.slice(1) }], sentence: `Nearest to "${event.word}": ${event.words.slice(1, 4).join(", ")}.` });
  }

  function write() {
    lesson.ask("words.write", { text: text.value, temperature: temperature.value }, (event) => {
      if (event.event === "written") writtenOf.replaceChildren(h("blockquote", {}, event.text));
    });
  }
}
