/** The few pictures of the page's controls, as lines in the colour of the text beside them. */

import { svg } from "./dom.js";

const PATHS = {
  image: ["M4 5h16v14H4z", "M4 16l4.5-4.5 4 4L16 12l4 4", "M9 9h.01"],
  previous: ["M14.5 6l-6 6 6 6"],
  next: ["M9.5 6l6 6-6 6"],
  close: ["M6 6l12 12", "M18 6L6 18"],
};

/** 20 × 20 pixels, hidden from screen readers: the control's own label says what it does. */
export function icon(name) {
  const lines = PATHS[name].map((d) => svg("path", { d }));
  return svg("svg", { viewBox: "0 0 24 24", width: 20, height: 20, class: "icon", "aria-hidden": "true" }, ...lines);
}

/** The sign of the page: a grid of patches, weighed differently. */
export function logo() {
  const weights = [0.45, 0.7, 0.35, 0.7, 1, 0.7, 0.3, 0.7, 0.45];
  const patches = weights.map((opacity, i) =>
    svg("rect", { x: 1 + (i % 3) * 8, y: 1 + Math.floor(i / 3) * 8, width: 6, height: 6, rx: 1, opacity }),
  );
  return svg("svg", { viewBox: "0 0 24 24", width: 24, height: 24, class: "logo", "aria-hidden": "true" }, ...patches);
}
