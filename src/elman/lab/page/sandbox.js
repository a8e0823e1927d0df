import { h } from "./dom.js";
export function sandboxScreen(main) {
  main.replaceChildren(h("div", { class: "page" }, h("h1", {}, "Sandbox")));
}
