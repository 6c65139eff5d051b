/** Numbers and places as people read them: counted from 1, not more digits than mean something. */

/** 0.1234 → "12 %", 0.01234 → "1.2 %". */
export function percent(share) {
  const value = share * 100;
  if (value >= 99.95) return "100 %";
  if (value >= 9.95) return `${value >= 99 ? value.toFixed(1) : Math.round(value)} %`;
  if (value >= 0.995) return `${value.toFixed(1)} %`;
  if (value >= 0.005) return `${value.toFixed(2)} %`;
  return value > 0 ? "< 0.01 %" : "0 %";
}

/** Two or three digits that count. */
export function short(value) {
  const size = Math.abs(value);
  return size >= 100 ? value.toFixed(0) : size >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** 5717416 → "5.7 M". */
export function count(number) {
  if (number >= 1e9) return `${(number / 1e9).toFixed(1)} G`;
  if (number >= 1e6) return `${(number / 1e6).toFixed(number >= 1e8 ? 0 : 1)} M`;
  if (number >= 1e3) return `${(number / 1e3).toFixed(number >= 1e5 ? 0 : 1)} k`;
  return String(number);
}

/** "row 3, column 7", or "the class token". */
export function place(query) {
  return query === "class" ? "the class token" : `row ${query.row + 1}, column ${query.column + 1}`;
}

/** "1 head", "3 heads". */
export function plural(number, noun) {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

/** A prediction set in words: what it says, and how far that holds. */
export function inWords(set, coverage) {
  const stated = `${Number((100 * coverage).toFixed(1))} of 100`;
  const most = 4;
  const named = set.length > most ? [...set.slice(0, most - 1), `${set.length - most + 1} others`] : set;
  if (!set.length) return ["None of these", `At least ${stated} images of the known kinds are not called so.`];
  if (set.length === 1) return [set[0], `At least ${stated} such answers hold the right one.`];
  return [named.join(" or "), `It cannot choose here; at least ${stated} such answers hold the right one.`];
}
