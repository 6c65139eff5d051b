/** Prediction through the layers: the head applied to what each layer has made of the image (logit lens). */

import { h, section, whenChanged } from "./dom.js";
import { bar } from "./predictions.js";

export class Lens {
  constructor(model, store) {
    this.store = store;
    this.list = h("ol", { class: "lens", testid: "lens" });
    this.says = h("p", { class: "note", testid: "lens-says" });
    this.element = section(
      "lens-section",
      "The answer, layer by layer",
      "The classification head read early: what the model would say if it ended at that layer (logit lens).",
      null,
      this.list,
      this.says,
    );
    this.draw = whenChanged((look) => this.paint(look));
  }

  update({ look, layer }) {
    this.element.hidden = !look || look.lens.length === 0;
    if (this.element.hidden) return;
    this.draw(look);
    [...this.list.children].forEach((row, l) => {
      row.firstChild.setAttribute("aria-pressed", String(l === layer));
      row.lastChild.hidden = l !== layer;
    });
  }

  paint(look) {
    const answer = look.lens.at(-1)[0];
    const settled = settledFrom(look.lens);
    const longest = Math.max(...look.lens.flat().map(({ label }) => label.length));
    this.list.style.setProperty("--label", `${Math.max(3, Math.min(16, longest * 0.6))}em`);
    this.list.replaceChildren(
      ...look.lens.map((best, layer) => {
        const line = bar(best[0]);
        const button = h(
          "button",
          {
            type: "button",
            class: layer >= settled ? "lens-row settled" : "lens-row",
            testid: `lens-${layer + 1}`,
            click: () => this.store.set({ layer }),
          },
          h("span", { class: "lens-layer" }, String(layer + 1)),
          ...line.childNodes,
        );
        return h(
          "li",
          {},
          button,
          h("ol", { class: "bars lens-rest", "aria-label": "Next best" }, best.slice(1).map(bar)),
        );
      }),
    );
    const from = settled === 0 ? "in every layer" : `from layer ${settled + 1} on`;
    this.says.replaceChildren("The final answer, ", h("strong", {}, answer.label), `, leads ${from}.`);
  }
}

/** The first layer from which on the best class is the final one. */
function settledFrom(lens) {
  const answer = lens.at(-1)[0].index;
  let layer = lens.length - 1;
  while (layer > 0 && lens[layer - 1][0].index === answer) layer--;
  return layer;
}
