/** The two pages of a server that lets people teach: looking inside, and teaching. */

import { h } from "./dom.js";

export function tabs(here) {
  const link = (id, href, words) =>
    h("a", { href, class: "tab", testid: `tab-${id}`, "aria-current": here === id ? "page" : null }, words);
  return h(
    "nav",
    { class: "tabs", "aria-label": "Pages" },
    link("look", "./", "Look inside"),
    link("teach", "teach", "Teach"),
  );
}
