/** Similarity of position embeddings: one patch's, and the tile of every patch (Figure 7 centre). */

import { Legend } from "./colormap.js";
import { h, section, whenChanged } from "./dom.js";
import { frame, heat } from "./paint.js";
import { patchUnder, similarityMap } from "./view.js";
import { percent, place } from "./words.js";

const SIDE = 560;

export class Positions {
  constructor(model, store) {
    this.model = model;
    if (!model.similarity) {
      this.element = section(
        "positions-section",
        "Positions",
        "This model has no position embeddings to compare.",
        null,
      );
      return;
    }
    this.one = h("canvas", { testid: "similarity", role: "img" });
    this.says = h("p", { class: "note", testid: "similarity-says" });
    this.all = h("canvas", {
      testid: "similarities",
      role: "img",
      class: "pointed",
      "aria-label": "Similarity of every position to every other",
      click: (event) => this.click(event, store),
    });
    const legend = new Legend("similarity-legend");
    legend.set("even", "−1", "1", "cosine similarity");
    this.element = section(
      "positions-section",
      "Positions",
      "A tile for each patch: how alike its position is to all others. Trained models find rows and columns, though they were only told an order (Figure 7 centre).",
      null,
      h(
        "div",
        { class: "beside wide" },
        h("div", { class: "mosaic" }, this.all),
        h(
          "div",
          { class: "beside-text" },
          h("div", { class: "small-map" }, this.one),
          this.says,
          legend.element,
          numbers(model.locality),
        ),
      ),
    );
    this.draw = whenChanged((token, grid) => this.paint(grid));
  }

  update(view) {
    if (!this.one) return;
    this.view = view;
    this.tiles ??= mosaic(this.model.similarity);
    this.draw(view.token, view.grid);
  }

  paint(grid) {
    const similar = similarityMap(this.view);
    const [rows, columns] = this.model.similarity.shape;
    const scale = Math.max(1, Math.round(SIDE / Math.max(this.tiles.width, this.tiles.height)));
    [this.all.width, this.all.height] = [this.tiles.width * scale, this.tiles.height * scale];
    const context = this.all.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(this.tiles, 0, 0, this.all.width, this.all.height);
    this.one.parentElement.hidden = !similar;
    if (!similar) {
      this.says.textContent = "The class token has no place on the grid.";
      return;
    }
    const cell = unit(columns);
    for (const [colour, inside] of [
      ["#fff", 1],
      ["#000", 3.5],
    ]) {
      context.lineWidth = 3;
      context.strokeStyle = colour;
      context.strokeRect(
        similar.at.column * (columns * cell + 1) * scale + inside,
        similar.at.row * (rows * cell + 1) * scale + inside,
        columns * cell * scale - 2 * inside,
        rows * cell * scale - 2 * inside,
      );
    }
    const zoom = Math.max(1, Math.round(240 / Math.max(rows, columns)));
    [this.one.width, this.one.height] = [columns * zoom, rows * zoom];
    const single = this.one.getContext("2d");
    single.imageSmoothingEnabled = false;
    single.drawImage(heat(similar.values, [rows, columns], "even", -1, 1), 0, 0, this.one.width, this.one.height);
    frame(single, [rows, columns], similar.at, 2);
    this.says.textContent = `The position of ${place(this.view.query)}.`;
    this.one.setAttribute("aria-label", `Similarity of the position of ${place(this.view.query)} to all others`);
  }

  click(event, store) {
    store.set({ patch: patchUnder(event, this.all, this.model.similarity.shape.slice(0, 2)) });
  }
}

/** Pixels a side for one number: more where the grid is small, so that the pixel between tiles stays thin. */
const unit = (columns) => Math.max(1, Math.round(14 / columns));

/** All tiles with a transparent pixel between them. */
function mosaic(similarity) {
  const [rows, columns] = similarity.shape;
  const cell = unit(columns);
  const [down, across] = [rows * cell + 1, columns * cell + 1];
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [columns * across - 1, rows * down - 1];
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const tile = heat(similarity.at(row, column), [rows, columns], "even", -1, 1);
      context.drawImage(tile, column * across, row * down, columns * cell, rows * cell);
    }
  }
  return canvas;
}

function numbers(locality) {
  if (!locality) return null;
  const rows = [
    ["Correlation with distance on the grid", locality.correlation?.toFixed(2)],
    ["… with distance in the row of tokens", locality.raster_correlation?.toFixed(2)],
    ["Mean similarity in one row", locality.same_row?.toFixed(2)],
    ["… in one column", locality.same_column?.toFixed(2)],
    ["… elsewhere", locality.elsewhere?.toFixed(2)],
    [
      "Most alike is a neighbour",
      typeof locality.nearest_is_neighbour === "number" ? percent(locality.nearest_is_neighbour) : undefined,
    ],
  ].filter(([, value]) => value !== undefined);
  return h(
    "dl",
    { class: "numbers", testid: "locality" },
    rows.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value.replace("-", "−"))]).flat(),
  );
}
