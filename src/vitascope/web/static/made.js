/** What the page is made of, at its foot. */

import { h } from "./dom.js";
import { part } from "./parts.js";
import { save } from "./save.js";

export function colophon({ facts, licence, pieces }) {
  let notices; // a part is there once
  const keep = async () => {
    notices ??= part("notices", pieces.notices);
    save("notices.txt", "text/plain", await notices);
  };
  return h(
    "footer",
    { class: "foot" },
    facts.map((line) => h("p", { class: "note" }, line)),
    h(
      "details",
      { class: "note" },
      h("summary", {}, "Licences"),
      h("p", {}, "The model is computed by ONNX Runtime, the page itself is of Vitascope (Apache License 2.0)."),
      h("pre", {}, licence),
      h("button", { type: "button", class: "plain", testid: "notices", click: keep }, "Save the notices of what is in it"),
    ),
  );
}
