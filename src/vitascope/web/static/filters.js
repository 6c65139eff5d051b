/** Embedding filters: principal components of the first layer's weights, as small pictures (Figure 7 left). */

import { h, section } from "./dom.js";

export class Filters {
  constructor(model) {
    const [count, rows, columns, channels] = model.filters.shape;
    const tiles = Array.from({ length: count }, (_, i) => tile(model.filters.at(i), rows, columns, channels));
    const shown = channels === 3 ? "" : channels === 1 ? " in grey" : `, its ${channels} channels side by side`;
    this.element = section(
      "filters-section",
      "Embedding filters",
      `The first ${count} principal components of what the model does to each patch${shown}. Mid grey is 0 (Figure 7 left).`,
      null,
      h(
        "div",
        {
          class: "filters",
          testid: "filters",
          role: "img",
          "aria-label": `${count} filters of ${rows} × ${columns} pixels`,
        },
        tiles,
      ),
    );
  }

  update() {}
}

function tile(values, rows, columns, channels) {
  const colour = channels === 3;
  const across = colour ? 1 : channels;
  const canvas = h("canvas", { width: columns * across, height: rows });
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(canvas.width, canvas.height);
  const top = values.reduce((a, b) => Math.max(a, Math.abs(b)), 0) || 1;
  const grey = (value) => Math.round(127.5 + (127.5 * value) / top);
  for (let i = 0; i < rows * columns; i++) {
    for (let c = 0; c < channels; c++) {
      const x = (i % columns) + (colour ? 0 : c * columns);
      const at = (Math.floor(i / columns) * canvas.width + x) * 4;
      const shade = grey(values[i * channels + c]);
      if (colour) pixels.data[at + c] = shade;
      else pixels.data.fill(shade, at, at + 3);
      pixels.data[at + 3] = 255;
    }
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}
