/** What is chosen on the page, and its form in the address: a link brings back the same view. */

export const MAPS = ["none", "head", "class", "rollout", "similarity"];
const SCALES = ["own", "shared"];
const OVERVIEWS = ["maps", "distance", "share"];

/** Layers, heads and patches count from 0 here and from 1 in the address, as in everything people read. */
export const START = Object.freeze({
  model: null, // name of the model, or of all, that the link was made with
  image: null, // {kind: "example" | "look", id}
  layer: null, // null: the last
  head: 0,
  patch: null, // {row, column, of: its grid, or null for the first model's}, "class" for the class token, null: the middle
  map: "head",
  opacity: 60, // per cent
  scale: "own",
  overview: "maps",
});

/** "#layer=3&patch=4,5" → all of the state; what cannot be understood is as at the start. */
export function parse(hash) {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  const state = { ...START, model: given.get("model") };
  for (const kind of ["look", "example"]) {
    const id = given.get(kind);
    if (id && /^[\w.-]{1,100}$/.test(id)) state.image = { kind, id };
  }
  state.layer = number(given.get("layer"), 1, 1e4, START.layer, -1);
  state.head = number(given.get("head"), 1, 1e4, START.head, -1);
  state.opacity = number(given.get("opacity"), 0, 100, START.opacity);
  for (const [name, allowed] of Object.entries({ map: MAPS, scale: SCALES, overview: OVERVIEWS })) {
    if (allowed.includes(given.get(name))) state[name] = given.get(name);
  }
  const patch = given.get("patch");
  const parts = /^(\d{1,4}),(\d{1,4})(?:,(\d{1,4}),(\d{1,4}))?$/.exec(patch ?? "");
  if (patch === "class") state.patch = "class";
  else if (parts) {
    const [row, column, rows, columns] = parts.slice(1).map(Number);
    state.patch = {
      row: Math.max(row - 1, 0),
      column: Math.max(column - 1, 0),
      of: rows && columns ? [rows, columns] : null,
    };
  }
  return state;
}

function number(text, low, high, otherwise, add = 0) {
  const value = Number(text);
  return text !== null && text !== "" && Number.isInteger(value) && value >= low && value <= high
    ? value + add
    : otherwise;
}

/** The state as it stands in the address, shortest: what is as at the start is left out. */
export function format(state) {
  const parts = new URLSearchParams();
  if (state.model) parts.set("model", state.model);
  if (state.image) parts.set(state.image.kind, state.image.id);
  if (state.layer !== null) parts.set("layer", state.layer + 1);
  if (state.head !== START.head) parts.set("head", state.head + 1);
  if (state.patch === "class") parts.set("patch", "class");
  else if (state.patch)
    parts.set("patch", [state.patch.row + 1, state.patch.column + 1, ...(state.patch.of ?? [])].join(","));
  for (const name of ["map", "opacity", "scale", "overview"])
    if (state[name] !== START[name]) parts.set(name, state[name]);
  return `#${parts.toString().replaceAll("%2C", ",")}`;
}

/** Holds the state and tells those who listen of each change; the patch under the pointer is not part of the address. */
export class Store {
  constructor(state) {
    this.state = { ...state, hover: null };
    this.listeners = [];
  }

  listen(listener) {
    this.listeners.push(listener);
  }

  set(changes) {
    const before = this.state;
    this.state = { ...before, ...changes };
    if (Object.keys(changes).some((name) => !Object.is(before[name], changes[name]))) {
      for (const listener of this.listeners) listener(this.state, before);
    }
  }
}
