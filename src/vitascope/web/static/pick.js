/** Which image: an example, or one's own by choosing a file, pasting or dropping. */

import { h } from "./dom.js";
import { icon, logo } from "./icons.js";
import { tabs } from "./tabs.js";

export class Pick {
  /** `take(file)` gets a person's own image, `open(id)` an example. */
  constructor(source, { take, open, complain }) {
    this.examples = source.examples.map((example) => {
      const picture = example.thumbnail ? h("img", { src: example.thumbnail, alt: "" }) : null;
      return {
        id: example.id,
        element: h(
          "button",
          { type: "button", class: "chip", testid: `example-${example.id}`, click: () => open(example.id) },
          picture,
          h("span", {}, example.name),
        ),
      };
    });
    this.own = h("span", { class: "chip own hidden", testid: "own-name" });
    const list = h(
      "div",
      { class: "chips", role: "group", "aria-label": "Images", testid: "examples" },
      source.examplesNote ? h("span", { class: "note", testid: "examples-note" }, source.examplesNote) : null,
      this.examples.map((e) => e.element),
      this.own,
    );
    const pages = source.teaches ? tabs("look") : null;
    this.element = h("header", { class: "pick" }, h("p", { class: "brand" }, logo(), "Vitascope"), pages, list);
    if (!source.takesFiles) return;
    const take1 = (files) => {
      const file = [...files][0];
      if (!file) return;
      if (file.type && !file.type.startsWith("image/")) complain(`“${file.name}” is not an image.`);
      else take(file);
    };
    const input = h("input", {
      type: "file",
      accept: "image/*",
      class: "unseen",
      tabindex: -1,
      testid: "file",
      "aria-label": "Image file",
      change: () => {
        take1(input.files);
        input.value = "";
      },
    });
    this.button = h(
      "button",
      { type: "button", class: "primary", testid: "choose", click: () => input.click() },
      icon("image"),
      "Choose image",
    );
    this.element.append(
      h("div", { class: "pick-own" }, this.button, h("span", { class: "note" }, "or drop or paste one"), input),
    );
    watchPaste(take1);
    watchDrop(take1);
  }

  /** Marks what is shown; `name` is that of a person's own image. */
  show(image, name) {
    for (const { id, element } of this.examples)
      element.setAttribute("aria-pressed", String(image?.kind === "example" && image.id === id));
    const own = image?.kind === "look";
    this.own.classList.toggle("hidden", !own);
    this.own.textContent = own ? name : "";
  }
}

function watchPaste(take) {
  document.addEventListener("paste", (event) => {
    const files = event.clipboardData?.files ?? [];
    if (files.length) take(files);
  });
}

function watchDrop(take) {
  const veil = h("div", { class: "veil hidden", "aria-hidden": "true" }, h("p", {}, "Drop the image to look inside"));
  document.body.append(veil);
  const carries = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  document.addEventListener("dragover", (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    veil.classList.remove("hidden");
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget === null && veil.classList.add("hidden"));
  document.addEventListener("drop", (event) => {
    veil.classList.add("hidden");
    if (!carries(event)) return;
    event.preventDefault();
    take(event.dataTransfer.files);
  });
}
