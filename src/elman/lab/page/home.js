import { h, memory } from "./dom.js";
export function homeScreen(main, { lessons }) {
  const cards = lessons.map(({ slug, number, title, minutes }) => h("li", {}, h("a", { class: "card", href: `#/${slug}` }, `${number} ${title} · ${minutes} min ${memory.get(`done.${slug}`) ? "✓" : ""}`)));
  main.replaceChildren(h("div", { class: "page" }, h("h1", {}, "elman lab"), h("ol", { class: "cards" }, cards)));
}
