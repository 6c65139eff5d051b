/** What the columns of all models have: the name and what is told of it, and words where there is no image yet. */

import { h } from "./dom.js";

export function framed(index, { name }, told, ...parts) {
  return h(
    "div",
    { class: "column", testid: `column-${index}`, "aria-label": name, role: "group" },
    h("header", { class: "model" }, h("h1", { testid: "model-name" }, name), told),
    ...parts,
  );
}

/** `words` in `empty`, in place of the `elements` of an image, while there is none. */
export function inPlace(empty, words, elements, absent) {
  empty.textContent = words;
  empty.hidden = !absent;
  for (const element of elements) element.hidden = absent;
}
