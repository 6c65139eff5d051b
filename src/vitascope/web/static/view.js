/** What a model's column shows for a state: the state's numbers held within this model's layers, heads and grid. */

import { clamp } from "./arrays.js";

/** The patch with this number, counted row by row. */
export const patchAt = (number, [, columns]) => ({ row: Math.floor(number / columns), column: number % columns });

/** The patch under the pointer, on a canvas that shows the whole of `grid`. */
export function patchUnder(event, canvas, grid) {
  const { left, top, width, height } = canvas.getBoundingClientRect();
  return {
    row: clamp(Math.floor(((event.clientY - top) / height) * grid[0]), grid[0]),
    column: clamp(Math.floor(((event.clientX - left) / width) * grid[1]), grid[1]),
    of: grid,
  };
}

/** A patch of one grid at the same place of another grid. */
export function related(patch, [rows, columns], [otherRows, otherColumns]) {
  return {
    row: clamp(Math.floor(((clamp(patch.row, rows) + 0.5) * otherRows) / rows), otherRows),
    column: clamp(Math.floor(((clamp(patch.column, columns) + 0.5) * otherColumns) / columns), otherColumns),
  };
}

/** The patch or class token asked about, in `grid`; a patch without a grid of its own is one of `firstGrid`. */
export function queryOf(chosen, firstGrid, grid, hasClassToken) {
  if (chosen === "class" && hasClassToken) return "class";
  const [rows, columns] = firstGrid;
  const middle = { row: (rows - 1) >> 1, column: (columns - 1) >> 1 };
  const patch = chosen && chosen !== "class" ? chosen : middle;
  return related(patch, patch.of ?? firstGrid, grid);
}

/** All that a column's parts need to draw. */
export function viewOf(state, { model, look, attention, failed }, firstGrid) {
  const grid = look ? look.grid : model.grid;
  const layer = clamp(state.layer ?? model.layers - 1, model.layers);
  const selected = queryOf(state.patch, firstGrid, grid, model.class_token);
  const query = state.hover ? queryOf(state.hover, firstGrid, grid, model.class_token) : selected;
  return {
    model,
    look,
    grid,
    layer,
    head: clamp(state.head, model.heads),
    attention: attention && attention.layer === layer ? attention.weights : null,
    unread: failed?.layer === layer ? failed.words : null, // why there is no attention
    selected,
    query,
    token: query === "class" ? -1 : query.row * grid[1] + query.column, // tells queries apart; -1 is the class token
    map: state.map,
    opacity: state.opacity / 100,
    scale: state.scale,
    overview: state.overview,
  };
}

/** Attention of the queried token to the patches, one head's; the part that goes to other tokens is left out. */
export function attentionMap({ look, attention, query, grid }, head) {
  const position = query === "class" ? 0 : look.prefix + query.row * grid[1] + query.column;
  return attention.row(head, position).subarray(look.prefix);
}

/** Similarity of the queried patch's position to all others, at the grid that the model stores. */
export function similarityMap({ model, query, grid }) {
  if (!model.similarity || query === "class") return null;
  const [rows, columns] = model.similarity.shape;
  const at = related(query, grid, [rows, columns]);
  return { values: model.similarity.at(at.row, at.column), grid: [rows, columns], at };
}
