/** What the model says the image shows: the best classes with their probabilities. */

import { h, section, whenChanged } from "./dom.js";
import { percent } from "./words.js";

const SHOWN = 5;

export class Predictions {
  constructor() {
    this.list = h("ol", { class: "bars", testid: "predictions" });
    this.none = h("p", { class: "note" }, "This checkpoint has no classification head, so it predicts nothing.");
    this.element = section("prediction", "Prediction", null, null, this.list, this.none);
    this.draw = whenChanged((look) => this.list.replaceChildren(...look.predictions.slice(0, SHOWN).map(bar)));
  }

  update({ look }) {
    if (!look) return;
    this.none.hidden = look.predictions.length > 0;
    this.draw(look);
  }
}

/** One line: label, bar, probability. */
export function bar({ label, probability }) {
  const filled = h("i", {});
  filled.style.width = `${probability * 100}%`;
  const name = h("span", { class: "bar-label" }, label);
  name.title = label;
  return h(
    "li",
    {},
    name,
    h("span", { class: "bar" }, filled),
    h("span", { class: "bar-number" }, percent(probability)),
  );
}
