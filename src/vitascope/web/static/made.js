/** What the page is made of, at its foot. */

import { h } from "./dom.js";
import { part } from "./parts.js";

export function colophon({ facts, licence, pieces }) {
  const save = async () => {
    const text = await part("notices", pieces.notices);
    const link = h("a", { href: URL.createObjectURL(new Blob([text], { type: "text/plain" })), download: "notices.txt" });
    link.click();
    save.held = text;
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
      h("button", { type: "button", class: "plain", testid: "notices", click: save }, "Save the notices of what is in it"),
    ),
  );
}
