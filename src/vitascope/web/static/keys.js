/** Keys that work anywhere on the page; the arrow keys belong to the grids. */

import { MAPS } from "./state.js";

/** What the keys do, for people. */
export const HELP = [
  ["← ↑ → ↓", "move on the grid that has the focus"],
  ["[ ]", "previous, next layer"],
  [", .", "previous, next head"],
  ["c", "ask the class token"],
  ["m", "next map over the image"],
];

/** Listens; `view()` gives what the first column shows. */
export function listen(store, view) {
  document.addEventListener("keydown", (event) => {
    if (
      event.altKey ||
      event.ctrlKey ||
      event.metaKey ||
      event.target.closest?.("input:not([type=range], [type=radio]), textarea")
    )
      return;
    const shown = view();
    if (!shown) return;
    const within = (value, length) => Math.max(0, Math.min(length - 1, value));
    const { layer, head, model } = shown;
    const changes = {
      "[": () => ({ layer: within(layer - 1, model.layers) }),
      "]": () => ({ layer: within(layer + 1, model.layers) }),
      ",": () => ({ head: within(head - 1, model.heads) }),
      ".": () => ({ head: within(head + 1, model.heads) }),
      c: () => (model.class_token ? { patch: "class" } : {}),
      m: () => ({ map: MAPS[(MAPS.indexOf(shown.map) + 1) % (model.similarity ? 5 : 4)] }),
    }[event.key];
    if (changes) store.set(changes());
  });
}
