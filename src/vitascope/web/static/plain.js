/** The column of a model whose insides are not shown: the image as it saw it, and the answer. */

import { h, whenChanged } from "./dom.js";
import { framed, inPlace } from "./frame.js";
import { Predictions } from "./predictions.js";

export class Plain {
  constructor(index, model) {
    Object.assign(this, { model, look: null });
    this.predictions = new Predictions();
    this.empty = h("div", { class: "empty", testid: "empty" });
    this.picture = h("img", { class: "seen", testid: "seen" });
    this.caption = h("p", { class: "note caption" });
    this.shown = h("div", { class: "stage" }, this.picture, this.caption);
    const closed = h("p", { class: "note", testid: "closed" }, model.closed);
    this.element = framed(
      index,
      model,
      [h("p", { class: "note" }, describe(model)), closed],
      h("section", { class: "section", "aria-label": "Image" }, this.empty, this.shown),
      this.predictions.element,
    );
    this.draw = whenChanged((look) => {
      const [height, width] = look.size;
      this.picture.alt = look.name;
      this.picture.src = look.image;
      this.caption.textContent = `The image as the model sees it, ${width} × ${height} pixels.`;
    });
    this.say("");
  }

  /** Words in place of the image, while there is none. */
  say(words) {
    inPlace(this.empty, words, [this.shown, this.predictions.element], this.look === null);
  }

  /** Shows a look as it came from the source. */
  async show(look) {
    this.look = look;
    this.say("");
  }

  update() {
    if (!this.look) return;
    this.draw(this.look);
    this.predictions.update(this);
  }
}

function describe({ classes, image_size: [height, width] }) {
  return `${classes ? `${classes} classes · ` : ""}images of ${width} × ${height}`;
}
