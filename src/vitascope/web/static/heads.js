/** Attention of every head of the chosen layer from the queried patch: one small map each, over the dimmed image. */

import { largest, largestAt } from "./arrays.js";
import { Legend } from "./colormap.js";
import { h, section, segmented, whenChanged } from "./dom.js";
import { LayerControl } from "./layers.js";
import { fit, frame, heat, layOver } from "./paint.js";
import { attentionMap, patchAt } from "./view.js";
import { percent, place } from "./words.js";

const SIDE = 280;

export class Heads {
  constructor(model, store) {
    this.layers = new LayerControl(model, store);
    this.scales = segmented(
      "scale",
      "Scale of the colours",
      [
        ["own", "Scale of each head"],
        ["shared", "One scale"],
      ],
      (scale) => store.set({ scale }),
    );
    this.legend = new Legend("heads-legend");
    this.tiles = Array.from({ length: model.heads }, (_, head) => tile(head, () => store.set({ head, map: "head" })));
    this.grid = h(
      "div",
      {
        class: model.heads > 4 ? "tiles" : "tiles few",
        testid: "heads",
        role: "group",
        "aria-label": "Heads of the layer",
      },
      this.tiles.map((t) => t.element),
    );
    this.waiting = h("p", { class: "note", role: "status", testid: "heads-status" });
    this.under = h("div", { class: "under" }, this.legend.element, this.scales.element);
    this.element = section(
      "heads-section",
      "Every head of a layer",
      "Where each head looks from the patch you point at. Brighter patches weigh more in what that patch becomes.",
      this.layers.element,
      this.grid,
      this.under,
      this.waiting,
    );
    this.draw = whenChanged((...given) => this.paint(...given));
  }

  update(view) {
    this.view = view;
    this.layers.update(view);
    this.scales.set(view.scale);
    this.tiles.forEach(({ element }, head) => element.setAttribute("aria-pressed", String(head === view.head)));
    this.grid.setAttribute("aria-busy", String(!view.attention && !view.unread));
    this.grid.hidden = this.under.hidden = Boolean(view.unread);
    this.waiting.textContent = view.attention ? "" : (view.unread ?? `Reading layer ${view.layer + 1} …`);
    if (view.look && view.attention) this.draw(view.look, view.attention, view.token, view.opacity, view.scale);
  }

  paint(look, _attention, _token, opacity, scale) {
    const { view } = this;
    const maps = this.tiles.map((_, head) => attentionMap(view, head));
    const peaks = maps.map(largest);
    const shared = Math.max(...peaks);
    maps.forEach((map, head) => {
      const { canvas, says, element } = this.tiles[head];
      const context = fit(canvas, look.size, SIDE);
      layOver(
        context,
        look.picture,
        heat(map, view.grid, "heat", 0, scale === "own" ? peaks[head] : shared),
        Math.max(opacity, 0.3),
      );
      if (view.query !== "class") frame(context, view.grid, view.query, 1.5);
      const at = patchAt(largestAt(map), view.grid);
      says.textContent = `peak ${percent(peaks[head])}`;
      element.setAttribute(
        "aria-label",
        `Head ${head + 1}, layer ${view.layer + 1}: most, ${percent(peaks[head])}, to ${place(at)}`,
      );
    });
    this.legend.set("heat", "0 %", scale === "own" ? "peak of each head" : percent(shared), "share of attention");
  }
}

function tile(head, click) {
  const canvas = h("canvas", { "aria-hidden": "true" });
  const says = h("span", { class: "tile-says" });
  const element = h(
    "button",
    { type: "button", class: "tile", testid: `head-${head + 1}`, click },
    canvas,
    h("span", { class: "tile-text" }, h("span", { class: "tile-name" }, `Head ${head + 1}`), says),
  );
  return { canvas, says, element };
}
