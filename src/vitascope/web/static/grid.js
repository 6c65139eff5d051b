/** The image with its patch grid: point at a patch, click it or walk with the arrow keys; a map lies over it. */

import { clamp, largest } from "./arrays.js";
import { Legend } from "./colormap.js";
import { h, segmented, whenChanged } from "./dom.js";
import { arrow } from "./keys.js";
import { fit, frame, heat, layOver, lines } from "./paint.js";
import { attentionMap, patchUnder, similarityMap } from "./view.js";
import { percent, place } from "./words.js";

const SIDE = 768; // pixels of the canvas, twice what is usually seen of it

export class Grid {
  constructor(model, store) {
    this.store = store;
    this.canvas = h("canvas", { "aria-hidden": "true" });
    this.box = h(
      "div",
      { class: "grid", testid: "grid", tabindex: 0, role: "application", "aria-describedby": "grid-keys" },
      this.canvas,
    );
    this.status = h("p", { class: "unseen", role: "status", testid: "selected" });
    this.maps = segmented(
      "map",
      "What lies over the image",
      [
        ["none", "Image"],
        ["head", "Head"],
        ["class", model.reads_class_token === false ? "Mean" : "Class"],
        ["rollout", "Rollout"],
        ["similarity", "Position"],
      ],
      (map) => store.set({ map }),
    );
    this.maps.enable("similarity", Boolean(model.similarity));
    this.opacity = h("input", {
      type: "range",
      min: 0,
      max: 100,
      step: 5,
      testid: "opacity",
      "aria-label": "Opacity of the map",
      input: () => store.set({ opacity: Number(this.opacity.value) }),
    });
    this.legend = new Legend("legend");
    this.explanation = h("p", { class: "note caption", testid: "map-says" });
    this.controls = h(
      "div",
      { class: "grid-controls" },
      this.maps.element,
      h("label", { class: "slider" }, h("span", {}, "Opacity"), this.opacity),
      this.legend.element,
    );
    this.element = h("div", { class: "stage" }, this.box, this.status, this.explanation, this.controls);
    this.draw = whenChanged(() => this.paint());
    this.box.addEventListener("pointermove", (event) => event.pointerType === "mouse" && this.hover(this.under(event)));
    this.box.addEventListener("pointerleave", () => this.hover(null));
    this.box.addEventListener("click", (event) => this.select(this.under(event)));
    this.box.addEventListener("keydown", (event) => this.walk(event));
  }

  under(event) {
    return patchUnder(event, this.canvas, this.view.grid);
  }

  hover(patch) {
    const old = this.store.state.hover;
    if (old === patch || (old && patch && old.row === patch.row && old.column === patch.column && old.of === patch.of))
      return;
    this.store.set({ hover: patch });
  }

  select(patch) {
    this.store.set({ patch, hover: null });
  }

  walk(event) {
    const step = arrow(event);
    if (!step) return;
    const { selected, grid } = this.view;
    const from = selected === "class" ? { row: 0, column: 0 } : selected;
    this.select({ row: clamp(from.row + step[0], grid[0]), column: clamp(from.column + step[1], grid[1]), of: grid });
  }

  update(view) {
    this.view = view;
    this.maps.set(view.map);
    this.opacity.value = Math.round(view.opacity * 100);
    this.opacity.disabled = view.map === "none";
    const [rows, columns] = view.grid;
    const where = place(view.query);
    this.box.setAttribute("aria-label", `Patch grid of ${rows} rows and ${columns} columns; ${where} is selected`);
    this.status.textContent =
      view.query === "class" ? "Asking the class token" : `Asking the patch in ${where} of ${rows} × ${columns}`;
    this.draw(view.look, view.attention, view.unread, view.token, view.map, view.opacity, view.head, view.layer);
  }

  /** The chosen map: its canvas, how to read it, and in words what it is; null while its numbers are not there. */
  chosen() {
    const { view } = this;
    const { look, map, layer, head, grid, query } = view;
    const amounts = (values, low, unit, text) => {
      const high = largest(values);
      const canvas = heat(values, grid, "heat", low, high);
      return { canvas, text, legend: ["heat", percent(low), percent(high), unit] };
    };
    const heads = `head ${head + 1} in layer ${layer + 1}`;
    if (map === "head" && view.attention) {
      return amounts(attentionMap(view, head), 0, "share of attention", `Where ${heads} looks from ${place(query)}.`);
    }
    if (map === "class") {
      return amounts(look.classMaps.at(layer, head), 0, "share of attention", `Where ${look.who_looks} through ${heads}.`);
    }
    if (map === "rollout") {
      const { values, min } = look.rollout;
      return amounts(values, min, "share of the whole", "Attention multiplied through all layers (rollout, Figure 6).");
    }
    if (map === "similarity") {
      const similar = similarityMap(view);
      if (!similar) {
        const what = view.model.similarity ? "The class token has no place on the grid." : "This model has no positions.";
        return { canvas: null, text: what, legend: null };
      }
      const canvas = heat(similar.values, similar.grid, "even", -1, 1);
      return {
        canvas,
        text: `Positions like that of ${place(query)}.`,
        legend: ["even", "−1", "1", "cosine similarity"],
      };
    }
    if (map === "head" && view.unread)
      return { canvas: null, text: "The heads of this image are not there; the other maps are.", legend: null };
    return null;
  }

  paint() {
    const { view } = this;
    if (!view.look) return;
    const context = fit(this.canvas, view.look.size, SIDE);
    const chosen = this.chosen();
    this.box.setAttribute("aria-busy", String(view.map === "head" && !view.attention && !view.unread));
    layOver(context, view.look.picture, chosen?.canvas, view.opacity);
    lines(context, view.grid);
    if (view.query !== "class") frame(context, view.grid, view.query, 3);
    this.legend.element.classList.toggle("hidden", !chosen?.legend);
    if (chosen?.legend) this.legend.set(...chosen.legend);
    this.explanation.textContent =
      chosen?.text ??
      (view.map === "none"
        ? `The image as the model sees it, ${view.look.size[1]} × ${view.look.size[0]} pixels.`
        : "");
  }
}
