/** What the model says the image shows: the best classes with their probabilities. */

import { h, section, whenChanged } from "./dom.js";
import { inWords, percent } from "./words.js";

const SHOWN = 5;

export class Predictions {
  constructor() {
    this.list = h("ol", { class: "bars", testid: "predictions" });
    this.none = h("p", { class: "note" }, "This checkpoint has no classification head, so it predicts nothing.");
    this.set = h("div", { class: "set", testid: "set" });
    this.element = section("prediction", "Prediction", null, null, this.set, this.list, this.none);
    this.draw = whenChanged((look) => {
      this.list.replaceChildren(...look.predictions.slice(0, SHOWN).map(bar));
      const [words, note] = look.set ? inWords(look.set, look.coverage) : [];
      this.set.replaceChildren(...(look.set ? [h("p", { class: "big" }, words), h("p", { class: "note" }, note)] : []));
    });
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
