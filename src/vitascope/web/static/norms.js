/** Lengths of the tokens through the layers, which expose patches that serve as a notepad ("register" tokens). */

import { largest, largestAt, median } from "./arrays.js";
import { Chart, key } from "./chart.js";
import { Legend } from "./colormap.js";
import { h, section, whenChanged } from "./dom.js";
import { fit, heat, layOver } from "./paint.js";
import { patchAt } from "./view.js";
import { place, short } from "./words.js";

export class Norms {
  constructor(model) {
    this.chart = new Chart("norms", (chart, lines, layer) => draw(chart, lines, layer));
    this.canvas = h("canvas", { testid: "norms-map", role: "img" });
    this.legend = new Legend("norms-legend");
    this.says = h("p", { class: "note", testid: "norms-says" });
    const entries = [
      ["largest", "largest patch"],
      ["middle", "median patch"],
    ];
    if (model.class_token) entries.push(["token", "class token"]);
    this.element = section(
      "norms-section",
      "Lengths of the tokens",
      "Patches that grow far beyond the others, where there are any, carry notes of the whole image instead of their own content.",
      null,
      this.chart.element,
      key(entries),
      h(
        "div",
        { class: "beside" },
        h("div", { class: "small-map" }, this.canvas),
        h("div", {}, this.says, this.legend.element),
      ),
    );
    this.element.classList.add("half");
    this.draw = whenChanged((look, layer, opacity) => this.paint(look, layer, opacity));
  }

  update({ look, layer, opacity }) {
    if (look) this.draw(look, layer, opacity);
  }

  paint(look, layer, opacity) {
    const { norms, prefix, grid } = look;
    const patches = norms.at(layer).subarray(prefix);
    const rows = Array.from({ length: norms.shape[0] }, (_, l) => norms.at(l));
    const lines = {
      largest: rows.map((row) => largest(row.subarray(prefix))),
      middle: rows.map((row) => median(row.subarray(prefix))),
      token: look.class_token ? rows.map((row) => row[0]) : null,
    };
    this.chart.update(lines, layer);
    const low = patches.reduce((a, b) => Math.min(a, b), Infinity);
    layOver(
      fit(this.canvas, look.size, 240),
      look.picture,
      heat(patches, grid, "heat", low, lines.largest[layer]),
      Math.max(opacity, 0.3),
    );
    const where = place(patchAt(largestAt(patches), grid));
    const times = short(lines.largest[layer] / (lines.middle[layer] || 1));
    this.says.textContent = `After layer ${layer + 1} the longest patch, in ${where}, is ${times} times as long as the median.`;
    this.canvas.setAttribute("aria-label", `Lengths of the patches after layer ${layer + 1}`);
    this.legend.set("heat", short(low), short(lines.largest[layer]), "length");
  }
}

function draw(chart, lines, layer) {
  const shown = Object.entries(lines).filter(([, values]) => values);
  const top = Math.max(...shown.flatMap(([, values]) => values));
  chart.axes(
    lines.middle.length,
    top,
    "length",
    `Lengths of tokens over ${lines.middle.length} layers, up to ${short(top)}`,
  );
  chart.band(layer);
  for (const [name, values] of shown) chart.line(name, values);
}
