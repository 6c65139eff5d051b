/** One model's column: its parts, the look it shows, and the one layer of attention that is read at a time. */

import { Attention, Numbers } from "./arrays.js";
import { Distance } from "./distance.js";
import { h } from "./dom.js";
import { Filters } from "./filters.js";
import { framed, inPlace } from "./frame.js";
import { Grid } from "./grid.js";
import { Heads } from "./heads.js";
import { Lens } from "./lens.js";
import { Norms } from "./norms.js";
import { Overview } from "./overview.js";
import { Positions } from "./positions.js";
import { Predictions } from "./predictions.js";
import { viewOf } from "./view.js";
import { count, plural } from "./words.js";

const HELD = 3; // layers kept of the look that is shown, for going back and forth

export class Column {
  constructor(index, model, { source, store, firstGrid, complain }) {
    Object.assign(this, { index, source, store, firstGrid, complain, look: null, attention: null, held: new Map() });
    this.model = {
      ...model,
      filters: new Numbers(model.filters),
      similarity: model.similarity && new Numbers(model.similarity),
    };
    const grid = new Grid(this.model, store);
    const ofImage = [
      new Heads(this.model, store),
      new Overview(this.model, store),
      new Distance(this.model, store),
      new Norms(this.model),
      new Lens(this.model, store),
    ];
    const ofModel = [new Positions(this.model, store), new Filters(this.model)];
    const predictions = new Predictions();
    this.parts = [grid, predictions, ...ofImage, ...ofModel];
    this.needsImage = [grid.element, predictions.element, ...ofImage.map((part) => part.element)];
    this.empty = h("div", { class: "empty", testid: "empty" });
    const stage = h("section", { class: "section", "aria-label": "Image" }, this.empty, grid.element);
    this.element = framed(
      index,
      model,
      h("p", { class: "note" }, describe(model)),
      h("div", { class: "side" }, stage, predictions.element),
      h(
        "div",
        { class: "main" },
        ofImage.map((part) => part.element),
        ofModel.map((part) => part.element),
      ),
    );
    this.say("");
  }

  /** Words in place of the image, while there is none. */
  say(words) {
    inPlace(this.empty, words, this.needsImage, this.look === null);
  }

  /** Shows a look as it came from the source. */
  async show(raw) {
    const picture = new Image();
    picture.src = raw.image;
    await picture.decode();
    this.asked?.abort();
    [this.asked, this.attention] = [null, null];
    this.held.clear();
    this.failed = null;
    this.look = {
      ...raw,
      picture,
      norms: new Numbers(raw.norms),
      rollout: new Numbers(raw.rollout),
      classMaps: new Numbers(raw.class_maps),
    };
    this.say("");
  }

  update(state) {
    this.view = viewOf(state, this, this.firstGrid);
    for (const part of this.parts) part.update(this.view);
    if (this.look && !this.view.attention && this.failed?.layer !== this.view.layer) this.read(this.view.layer);
  }

  /** Fetches a layer unless it is held or on its way; what was on its way for another layer is given up. */
  async read(layer) {
    if (this.asked?.layer === layer) return;
    this.asked?.abort();
    if (this.held.has(layer)) return this.put(layer, this.held.get(layer));
    const asked = Object.assign(new AbortController(), { layer });
    this.asked = asked;
    const look = this.look;
    try {
      const answer = await this.source.layer(this.index, look, layer, asked.signal);
      if (this.asked !== asked || this.look !== look) return;
      this.put(layer, new Attention(answer.attention));
    } catch (error) {
      if (this.asked !== asked) return;
      this.asked = null;
      this.failed = { layer, words: error.message };
      if (error.status !== 410) this.complain(error.message, () => this.again());
      this.update(this.store.state);
    }
  }

  again() {
    this.failed = null;
    this.update(this.store.state);
  }

  put(layer, weights) {
    [this.asked, this.failed] = [null, null];
    this.attention = { layer, weights };
    this.held.delete(layer);
    this.held.set(layer, weights);
    if (this.held.size > HELD) this.held.delete(this.held.keys().next().value);
    this.update(this.store.state);
  }
}

function describe({ parameters, layers, heads, patch, image_size, classes }) {
  const parts = [
    `${count(parameters)} parameters`,
    `${plural(layers, "layer")} × ${plural(heads, "head")}`,
    `patches of ${patch[0]} × ${patch[1]} pixels`,
    `images of ${image_size[1]} × ${image_size[0]}`,
  ];
  if (classes) parts.push(`${classes} classes`);
  return parts.join(" · ");
}
