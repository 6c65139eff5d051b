/** The photograph, and over it where the model looked. */

import { Legend } from "./colormap.js";
import { h, segmented } from "./dom.js";
import { fit, heat, layOver } from "./paint.js";
import { percent } from "./words.js";

const SIDE = 1024; // pixels of the canvas
const OPACITY = 0.65;

export class Seen {
  /** `shape`: how photographs are cut for the model, {size: [height, width], fit, crop_fraction}. */
  constructor(shape) {
    this.shape = shape;
    this.map = "none";
    this.canvas = h("canvas", { class: "tried", role: "img", testid: "seen" });
    this.choice = segmented(
      "map",
      "What is shown",
      [
        ["none", "Photograph"],
        ["rollout", "Where it looked"],
      ],
      (map) => {
        this.map = map;
        this.draw();
      },
    );
    this.choice.set(this.map);
    this.legend = new Legend("legend");
    this.note = h(
      "p",
      { class: "note" },
      "How much each part of the photograph counted for what the model took in, which is not always why it answered so.",
    );
    this.element = h("div", { class: "stage hidden" }, this.canvas, this.choice.element, this.legend.element, this.note);
  }

  /** Takes a decoded file; what it is called; where the model looked, as far as that is known. */
  show(bitmap, name, rollout = null) {
    const context = fit(document.createElement("canvas"), [bitmap.height, bitmap.width], SIDE);
    context.imageSmoothingQuality = "high";
    context.fillStyle = "#fff";
    context.fillRect(0, 0, context.canvas.width, context.canvas.height);
    context.drawImage(bitmap, 0, 0, context.canvas.width, context.canvas.height);
    this.picture = context.canvas;
    this.canvas.setAttribute("aria-label", name);
    this.rolled(rollout);
    this.element.classList.remove("hidden");
  }

  hide() {
    this.element.classList.add("hidden");
  }

  rolled(rollout) {
    this.rollout = rollout;
    this.choice.element.hidden = !rollout;
    this.draw();
  }

  draw() {
    const { width, height } = this.picture;
    const context = fit(this.canvas, [height, width], SIDE);
    context.drawImage(this.picture, 0, 0);
    const looked = this.map === "rollout" && this.rollout;
    this.legend.element.hidden = this.note.hidden = !looked;
    if (!looked) return;
    const { values, grid } = this.rollout;
    const [low, high] = [Math.min(...values), Math.max(...values)];
    context.globalAlpha = OPACITY; // what the model does not see fades
    context.fillStyle = "#808080";
    context.fillRect(0, 0, width, height);
    context.globalAlpha = 1;
    layOver(context, this.picture, heat(values, grid, "heat", low, high), OPACITY, cut([height, width], this.shape));
    this.legend.set("heat", percent(low), percent(high), "share of the whole");
  }
}

/** The part of a photograph that the model sees, [left, top, width, height]. */
export function cut([height, width], { size: [h, w], fit: how, crop_fraction: share }) {
  let [shown, wide] = [height * share, width * share];
  if (how === "crop") {
    const scale = Math.min(height / h, width / w) * share;
    [shown, wide] = [h * scale, w * scale];
  }
  return [(width - wide) / 2, (height - shown) / 2, wide, shown];
}
