import { h } from "./dom.js";
export function runScreen(main, { run }) {
  main.replaceChildren(h("div", { class: "page" }, h("h1", {}, `Run ${run}`)));
}
