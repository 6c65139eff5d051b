/** Which layer is looked at: a slider with a step to either side. */

import { h } from "./dom.js";
import { icon } from "./icons.js";

export class LayerControl {
  constructor(model, store) {
    this.layers = model.layers;
    const step = (name, label, by) =>
      h(
        "button",
        {
          type: "button",
          class: "icon-button",
          testid: `layer-${name}`,
          "aria-label": label,
          click: () => store.set({ layer: this.layer + by }),
        },
        icon(name),
      );
    this.previous = step("previous", "Previous layer", -1);
    this.next = step("next", "Next layer", 1);
    this.slider = h("input", {
      type: "range",
      min: 1,
      max: model.layers,
      step: 1,
      testid: "layer",
      "aria-label": "Layer",
      input: () => store.set({ layer: Number(this.slider.value) - 1 }),
    });
    this.label = h("output", { class: "layer-label", testid: "layer-label" });
    this.element = h("div", { class: "layer-control" }, this.label, this.previous, this.slider, this.next);
  }

  update({ layer }) {
    this.layer = layer;
    this.slider.value = layer + 1;
    this.slider.setAttribute("aria-valuetext", `Layer ${layer + 1} of ${this.layers}`);
    this.label.textContent = `Layer ${layer + 1} of ${this.layers}`;
    this.previous.disabled = layer === 0;
    this.next.disabled = layer === this.layers - 1;
  }
}
