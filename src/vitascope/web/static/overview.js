/** All layers and heads at once: a cell each, with its map or its number; a click goes there. */

import { clamp, largest } from "./arrays.js";
import { Legend, TABLES, level } from "./colormap.js";
import { h, section, segmented, whenChanged } from "./dom.js";
import { arrow } from "./keys.js";
import { heat } from "./paint.js";
import { percent, short } from "./words.js";

const GAP = 3;
const LABEL = 24; // room for numbers of layers above and of heads at the left

export class Overview {
  constructor(model, store) {
    [this.model, this.store] = [model, store];
    const layout = "Layers from left to right, a row for each head; choose a cell to look at it closely.";
    this.sentences = {
      maps: `Where ${model.who_looks}. ${layout}`,
      distance: `How far the patches look on average. ${layout}`,
      share: `How much of the image the patches attend to. ${layout}`,
    };
    this.kinds = segmented(
      "overview-kind",
      "What the cells show",
      [
        ["maps", "Maps"],
        ["distance", "Distance"],
        ["share", "Share"],
      ],
      (overview) => store.set({ overview }),
    );
    this.canvas = h("canvas", { "aria-hidden": "true" });
    this.box = h(
      "div",
      {
        class: "overview",
        testid: "overview",
        tabindex: 0,
        role: "application",
        click: (event) => this.click(event),
        keydown: (event) => this.walk(event),
      },
      this.canvas,
    );
    this.legend = new Legend("overview-legend");
    this.says = h("p", { class: "note", role: "status", testid: "overview-says" });
    this.element = section(
      "overview-section",
      "All layers and heads",
      this.sentences.maps,
      this.kinds.element,
      h("div", { class: "scroll" }, this.box),
      h("div", { class: "under" }, this.legend.element),
      this.says,
    );
    this.draw = whenChanged(() => this.paint());
    new ResizeObserver(() => this.view?.look && this.draw(...this.key())).observe(this.element);
  }

  key() {
    const { look, overview, layer, head } = this.view;
    return [look, overview, layer, head, this.element.clientWidth, matchMedia("(prefers-color-scheme: dark)").matches];
  }

  update(view) {
    this.view = view;
    if (!view.look) return;
    this.kinds.set(view.overview);
    this.element.querySelector(".lead").textContent = this.sentences[view.overview];
    const { layer, head, look } = view;
    this.box.setAttribute(
      "aria-label",
      `${this.model.layers} layers by ${this.model.heads} heads; layer ${layer + 1}, head ${head + 1} is selected. Arrow keys move.`,
    );
    this.says.textContent =
      `Layer ${layer + 1}, head ${head + 1}: looks ${short(look.distance[layer][head])} pixels far on average` +
      ` and at ${percent(look.share[layer][head])} of the image.`;
    this.draw(...this.key());
  }

  layout() {
    const { layers } = this.model;
    const room = this.element.clientWidth - LABEL;
    const cell = Math.max(24, Math.min(layers * this.model.heads > 36 ? 48 : 72, Math.floor(room / layers) - GAP));
    const [height, width] = this.view.look.size;
    return { w: cell, h: Math.max(12, Math.min(2 * cell, Math.round((cell * height) / width))) };
  }

  paint() {
    const { look, overview, layer, head, grid } = this.view;
    const { layers, heads } = this.model;
    const cell = this.layout();
    const [width, height] = [LABEL + layers * (cell.w + GAP), LABEL + heads * (cell.h + GAP)];
    const dense = Math.min(window.devicePixelRatio || 1, 2);
    [this.canvas.width, this.canvas.height] = [width * dense, height * dense];
    [this.canvas.style.width, this.canvas.style.height] = [`${width}px`, `${height}px`];
    const context = this.canvas.getContext("2d");
    context.scale(dense, dense);
    context.imageSmoothingEnabled = false;
    const style = getComputedStyle(this.element);
    context.font = `12px ${style.fontFamily}`;
    [context.textAlign, context.textBaseline] = ["center", "middle"];
    const numbers = overview === "maps" ? null : look[overview].flat();
    const top = numbers && Math.max(...numbers);
    const ink = (on) => style.getPropertyValue(on ? "--ink" : "--soft");
    for (let l = 0; l < layers; l++) {
      const x = LABEL + l * (cell.w + GAP);
      context.fillStyle = ink(l === layer);
      context.fillText(l + 1, x + cell.w / 2, LABEL / 2 - 2);
      for (let k = 0; k < heads; k++) {
        const y = LABEL + k * (cell.h + GAP);
        if (numbers) {
          const u = level(look[overview][l][k], 0, top) * 3;
          context.fillStyle = `rgb(${TABLES.heat.slice(u, u + 3).join(" ")})`;
          context.fillRect(x, y, cell.w, cell.h);
        } else {
          const map = look.classMaps.at(l, k);
          context.drawImage(heat(map, grid, "heat", 0, largest(map)), x, y, cell.w, cell.h);
        }
      }
    }
    for (let k = 0; k < heads; k++) {
      context.fillStyle = ink(k === head);
      context.fillText(k + 1, LABEL / 2 - 4, LABEL + k * (cell.h + GAP) + cell.h / 2);
    }
    const [x, y] = [LABEL + layer * (cell.w + GAP), LABEL + head * (cell.h + GAP)];
    for (const [colour, out, thickness] of [
      ["#fff", -1, 2],
      [style.getPropertyValue("--accent"), 1.5, 3],
    ]) {
      context.strokeStyle = colour;
      context.lineWidth = thickness;
      context.strokeRect(x - out, y - out, cell.w + 2 * out, cell.h + 2 * out);
    }
    if (overview === "maps") this.legend.set("heat", "0 %", "peak of each cell", "share of attention");
    else if (overview === "distance") this.legend.set("heat", "0", short(top), "pixels, mean attention distance");
    else this.legend.set("heat", "0 %", percent(top), "of the image attended");
  }

  click(event) {
    const { left, top } = this.canvas.getBoundingClientRect();
    const cell = this.layout();
    const at = (position, side, length) => clamp(Math.floor((position - LABEL) / (side + GAP)), length);
    this.go(at(event.clientX - left, cell.w, this.model.layers), at(event.clientY - top, cell.h, this.model.heads));
  }

  walk(event) {
    const step = arrow(event);
    if (!step) return;
    const { layers, heads } = this.model;
    this.go(clamp(this.view.layer + step[1], layers), clamp(this.view.head + step[0], heads));
  }

  go(layer, head) {
    this.store.set({ layer, head });
  }
}
