/** The few pictures of the page's controls, as lines in the colour of the text beside them. */

import { svg } from "./dom.js";

const PATHS = {
  image: ["M4 5h16v14H4z", "M4 16l4.5-4.5 4 4L16 12l4 4", "M9 9h.01"],
  previous: ["M14.5 6l-6 6 6 6"],
  next: ["M9.5 6l6 6-6 6"],
  plus: ["M12 5v14", "M5 12h14"],
  bin: ["M5 7h14", "M10 4h4", "M7 7l1 13h8l1-13", "M10.5 11v5", "M13.5 11v5"],
  camera: ["M4 8h3.5L9 5.5h6L16.5 8H20v11H4z", "M12 16.5a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7z"],
  undo: ["M9 6L4.5 10.5 9 15", "M5 10.5h8.5a5 5 0 0 1 0 10H10"],
  save: ["M12 4v11", "M7.5 11l4.5 4.5 4.5-4.5", "M5 19.5h14"],
  open: ["M4 6h6l2 2.5h8V19H4z"],
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
