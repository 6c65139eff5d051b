/** Charts over the depth of the model, as SVG: layers from left to right, an amount from 0 upwards. */

import { h, svg } from "./dom.js";
import { short } from "./words.js";

const HEIGHT = 232;
const MARGIN = { left: 44, right: 12, top: 12, bottom: 40 };

export class Chart {
  /** `draw(chart, …given)` adds marks; it runs again when the width changes. */
  constructor(testid, draw) {
    this.draw = draw;
    this.element = h("div", { class: "chart", testid });
    new ResizeObserver(
      () => this.given && this.element.clientWidth !== this.width && this.update(...this.given),
    ).observe(this.element);
  }

  update(...given) {
    this.given = given;
    this.width = this.element.clientWidth;
    if (this.width === 0) return;
    this.root = svg("svg", { width: this.width, height: HEIGHT, viewBox: `0 0 ${this.width} ${HEIGHT}`, role: "img" });
    this.draw(this, ...given);
    this.element.replaceChildren(this.root);
  }

  /** Axes for `layers` and amounts up to `top`; gives `x(layer)` and `y(amount)`. */
  axes(layers, top, unit, label) {
    const { left, right, bottom } = MARGIN;
    const [inner, base] = [this.width - left - right, HEIGHT - bottom];
    const step = niceStep(top);
    const last = Math.ceil(top / step - 1e-6) * step || 1;
    this.spread = inner / layers;
    this.x = (layer) => left + (layer + 0.5) * this.spread;
    this.y = (amount) => base - (amount / last) * (base - MARGIN.top);
    for (let tick = 0; tick <= last + step / 2; tick += step) {
      this.add("line", { class: "rule", x1: left, x2: this.width - right, y1: this.y(tick), y2: this.y(tick) });
      this.text(left - 8, this.y(tick), tick === 0 ? "0" : step >= 1 ? tick.toFixed(0) : short(tick), "end", "middle");
    }
    const every = Math.ceil((layers * 24) / inner);
    for (let layer = 0; layer < layers; layer += every) this.text(this.x(layer), base + 16, layer + 1, "middle");
    this.text(left + inner / 2, HEIGHT - 6, "layer", "middle");
    this.text(left + 4, MARGIN.top - 2, unit, "start", "hanging");
    this.root.setAttribute("aria-label", label);
  }

  add(tag, attributes, ...children) {
    this.root.append(svg(tag, attributes, ...children));
  }

  text(x, y, words, anchor, baseline = "auto") {
    this.add("text", { x, y, "text-anchor": anchor, "dominant-baseline": baseline }, String(words));
  }

  line(name, values) {
    this.add("polyline", {
      class: `line ${name}`,
      points: values.map((v, layer) => `${this.x(layer)},${this.y(v)}`).join(" "),
    });
  }

  /** A band behind the chosen layer. */
  band(layer) {
    this.add("rect", {
      class: "band",
      x: this.x(layer) - this.spread / 2,
      width: this.spread,
      y: MARGIN.top,
      height: HEIGHT - MARGIN.bottom - MARGIN.top,
    });
  }
}

function niceStep(top) {
  const rough = top / 5 || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].find((factor) => factor * power >= rough) * power;
}

/** Names of the lines under a chart: [[class, words], …]. */
export function key(entries) {
  return h(
    "ul",
    { class: "key" },
    entries.map(([name, words]) => h("li", { class: name }, words)),
  );
}
