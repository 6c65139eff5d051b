/** Models side by side in tables: what was right on the same images, what each costs, in which options they differ. */

import { h, section } from "./dom.js";

/** `tables`: [{title, columns, rows}] of words; `notes`: sentences about the images. */
export function compared({ tables, notes }) {
  const drawn = tables.map(({ title, columns, rows }) =>
    h(
      "div",
      { class: "scroll" },
      h(
        "table",
        { class: "facts" },
        h("caption", {}, title),
        h("thead", {}, h("tr", {}, columns.map((name) => h("th", { scope: "col" }, name)))),
        h(
          "tbody",
          {},
          rows.map(([first, ...rest]) =>
            h("tr", {}, h("th", { scope: "row" }, first), rest.map((cell) => h("td", {}, cell))),
          ),
        ),
      ),
    ),
  );
  const said = notes.map((note) => h("p", { class: "note" }, note));
  const element = section("compared", "Compared", null, null, ...drawn, ...said);
  element.classList.add("compared");
  return element;
}
