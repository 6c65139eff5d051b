/** What the page made, as a file for its user. */

import { h } from "./dom.js";

const PATIENCE = 60_000; // milliseconds that a browser has to take it

export function save(name, type, ...parts) {
  const link = h("a", { href: URL.createObjectURL(new Blob(parts, { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), PATIENCE);
}
