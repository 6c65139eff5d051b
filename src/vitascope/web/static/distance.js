/** Mean attention distance against depth, a dot for each head (Figure 7 right). */

import { Chart, key } from "./chart.js";
import { h, section, svg, whenChanged } from "./dom.js";
import { short } from "./words.js";

export class Distance {
  constructor(model, store) {
    this.chart = new Chart("distance", (chart, view) => draw(chart, view, model, store));
    const entries = [
      ["dot", "head"],
      ["mean", "mean of the heads"],
    ];
    if (model.uniform_distance) entries.push(["uniform", "attention spread evenly"]);
    this.says = h("p", { class: "note", testid: "distance-says" });
    this.element = section(
      "distance-section",
      "How far heads look",
      "Mean attention distance in this image. In the paper (Figure 7 right) some heads look far from the first layer on.",
      null,
      this.chart.element,
      key(entries),
      this.says,
    );
    this.element.classList.add("half");
    this.draw = whenChanged((look, layer, head) => this.chart.update({ look, layer, head }));
  }

  update({ look, layer, head }) {
    if (!look) return;
    this.says.textContent = `Layer ${layer + 1}, head ${head + 1}: ${short(look.distance[layer][head])} pixels.`;
    this.draw(look, layer, head);
  }
}

function draw(chart, { look, layer, head }, model, store) {
  const all = look.distance.flat();
  const uniform = model.uniform_distance ?? 0;
  chart.axes(
    model.layers,
    Math.max(...all, uniform),
    "pixels",
    `Attention distance of ${all.length} heads, from ${short(Math.min(...all))} to ${short(Math.max(...all))} pixels`,
  );
  chart.band(layer);
  if (uniform) chart.line("uniform", Array(model.layers).fill(uniform));
  chart.line(
    "mean",
    look.distance.map((heads) => heads.reduce((a, b) => a + b, 0) / heads.length),
  );
  const shift = Math.min(chart.spread * 0.5, 16);
  look.distance.forEach((heads, l) =>
    heads.forEach((value, k) => {
      const x = chart.x(l) + (heads.length > 1 ? (k / (heads.length - 1) - 0.5) * shift : 0);
      const chosen = l === layer && k === head;
      const title = svg("title", {}, `Layer ${l + 1}, head ${k + 1}: ${short(value)} pixels`);
      chart.add(
        "circle",
        {
          class: chosen ? "dot chosen" : "dot",
          cx: x,
          cy: chart.y(value),
          r: chosen ? 6 : 4,
          "data-layer": l + 1,
          "data-head": k + 1,
          click: () => store.set({ layer: l, head: k }),
        },
        title,
      );
    }),
  );
}
