/** Drawing on canvases: a map of numbers as coloured squares, laid over the image, and marks on its patches. */

import { TABLES, level } from "./colormap.js";

/** rows × columns numbers → a canvas with a pixel for each. */
export function heat(values, [rows, columns], colours, low, high) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [columns, rows];
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(columns, rows);
  const table = TABLES[colours];
  for (let i = 0; i < rows * columns; i++) {
    const u = level(values[i], low, high) * 3;
    pixels.data[i * 4] = table[u];
    pixels.data[i * 4 + 1] = table[u + 1];
    pixels.data[i * 4 + 2] = table[u + 2];
    pixels.data[i * 4 + 3] = 255;
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}

/** Gives a canvas the image's shape, `width` wide, at most as high; returns its context. */
export function fit(canvas, [height, width], side) {
  const scale = side / Math.max(height, width);
  const [w, h] = [Math.max(Math.round(width * scale), 1), Math.max(Math.round(height * scale), 1)];
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  return canvas.getContext("2d");
}

/** The image, grey and dimmed as far as a map covers it, under the map. `opacity` is from 0 to 1; `map` may be null.
 * Only `box`, [left, top, width, height] of the canvas, is drawn on, and the map is of that. */
export function layOver(context, image, map, opacity, box = [0, 0, context.canvas.width, context.canvas.height]) {
  context.save();
  context.beginPath();
  context.rect(...box);
  context.clip();
  context.globalAlpha = 1;
  context.imageSmoothingEnabled = image.naturalWidth > 100;
  context.drawImage(image, 0, 0, context.canvas.width, context.canvas.height);
  if (map && opacity > 0) {
    context.globalCompositeOperation = "saturation";
    context.fillStyle = "#808080";
    context.fillRect(...box);
    context.globalCompositeOperation = "source-over";
    context.imageSmoothingEnabled = false;
    context.globalAlpha = opacity;
    context.drawImage(map, ...box);
  }
  context.restore();
}

/** Thin lines between patches. */
export function lines(context, [rows, columns]) {
  const { width, height } = context.canvas;
  context.lineWidth = 1;
  context.strokeStyle = "rgb(255 255 255 / 22%)";
  context.beginPath();
  for (let row = 1; row < rows; row++) line(context, 0, (row * height) / rows, width, (row * height) / rows);
  for (let column = 1; column < columns; column++) {
    line(context, (column * width) / columns, 0, (column * width) / columns, height);
  }
  context.stroke();
}

function line(context, x0, y0, x1, y1) {
  context.moveTo(Math.round(x0) + 0.5, Math.round(y0) + 0.5);
  context.lineTo(Math.round(x1) + 0.5, Math.round(y1) + 0.5);
}

/** A frame within a patch: white around black, seen on any colour. */
export function frame(context, [rows, columns], { row, column }, thickness) {
  const { width, height } = context.canvas;
  const [w, h] = [width / columns, height / rows];
  for (const [colour, inside] of [
    ["#000", 1.5 * thickness],
    ["#fff", 0.5 * thickness],
  ]) {
    context.strokeStyle = colour;
    context.lineWidth = thickness;
    context.strokeRect(column * w + inside, row * h + inside, w - 2 * inside, h - 2 * inside);
  }
}
