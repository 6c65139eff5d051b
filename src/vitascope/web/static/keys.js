/** Keys that work anywhere on the page; the arrow keys belong to the grids. */

import { clamp } from "./arrays.js";
import { MAPS } from "./state.js";

const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

/** What the keys do, for people. */
export const HELP = [
  ["← ↑ → ↓", "move on the grid that has the focus"],
  ["[ ]", "previous, next layer"],
  [", .", "previous, next head"],
  ["c", "ask the class token"],
  ["m", "next map over the image"],
];

/** Rows and columns that an arrow key moves by on the grid that has the focus, and nothing else; null for other keys. */
export function arrow(event) {
  const step = ARROWS[event.key];
  if (!step || event.altKey || event.ctrlKey || event.metaKey) return null;
  event.preventDefault();
  return step;
}

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
    const { layer, head, model } = shown;
    const changes = {
      "[": () => ({ layer: clamp(layer - 1, model.layers) }),
      "]": () => ({ layer: clamp(layer + 1, model.layers) }),
      ",": () => ({ head: clamp(head - 1, model.heads) }),
      ".": () => ({ head: clamp(head + 1, model.heads) }),
      c: () => (model.class_token ? { patch: "class" } : {}),
      m: () => ({ map: MAPS[(MAPS.indexOf(shown.map) + 1) % (model.similarity ? 5 : 4)] }),
    }[event.key];
    if (changes) store.set(changes());
  });
}
