/** Two colour maps that are even to the eye and keep their order for the colour-blind, and the legend of each. */

import { h } from "./dom.js";

// magma and viridis by S. van der Walt, N. Smith and E. Firing (CC0), every 1/24 of the way; between, straight lines.
const ANCHORS = {
  heat:
    "000004050416100b2d1d11472c115f3f0f7251127c601880721f81832681932b80a5317eb73779c73d73d8456ce75263" +
    "f1605df8745cfc8961fd9b6bfeb078fec488fed799fdebacfcfdbf",
  even:
    "440154471063481f70472d7b4439834046883b528b365d8d31688e2c728e287c8e24868e21918c1f9a8a20a48628ae80" +
    "35b77948c16e5ec96275d05490d743addc30c8e020e5e419fde725",
};

function table(anchors) {
  const colours = anchors.match(/.{6}/g).map((hex) => [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16)));
  const result = new Uint8Array(256 * 3);
  for (let u = 0; u < 256; u++) {
    const at = (u / 255) * (colours.length - 1);
    const low = Math.min(Math.floor(at), colours.length - 2);
    for (let c = 0; c < 3; c++) {
      result[u * 3 + c] = Math.round(colours[low][c] + (at - low) * (colours[low + 1][c] - colours[low][c]));
    }
  }
  return result;
}

/** 256 colours each. `heat` (magma) is for amounts from 0, `even` (viridis) for what lies between two bounds. */
export const TABLES = { heat: table(ANCHORS.heat), even: table(ANCHORS.even) };

/** Index into a table: `value` between `low` and `high`, clipped. */
export function level(value, low, high) {
  if (!(high > low)) return 0;
  return Math.max(0, Math.min(255, Math.round(((value - low) / (high - low)) * 255)));
}

/** A strip of the colours with its ends in words. */
export class Legend {
  constructor(testid) {
    this.strip = h("canvas", { class: "legend-strip", width: 256, height: 1, "aria-hidden": "true" });
    this.low = h("span", {});
    this.high = h("span", {});
    this.unit = h("span", { class: "legend-unit" });
    this.element = h("div", { class: "legend", testid }, this.low, this.strip, this.high, this.unit);
  }

  set(name, low, high, unit) {
    [this.low.textContent, this.high.textContent, this.unit.textContent] = [low, high, unit];
    if (this.name === name) return;
    this.name = name;
    const context = this.strip.getContext("2d");
    const pixels = context.createImageData(256, 1);
    for (let u = 0; u < 256; u++) pixels.data.set([...TABLES[name].subarray(u * 3, u * 3 + 3), 255], u * 4);
    context.putImageData(pixels, 0, 0);
  }
}
