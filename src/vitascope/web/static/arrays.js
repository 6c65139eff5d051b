/** Numbers as the page's data carries them: 8 bits each in base64, scaled over the array or row by row. */

/** Bytes of base64. */
export function bytes(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const characters = atob(text);
  const result = new Uint8Array(characters.length);
  for (let i = 0; i < result.length; i++) result[i] = characters.charCodeAt(i);
  return result;
}

const product = (numbers) => numbers.reduce((a, b) => a * b, 1);

/** {shape, min, max, data} with numbers from min to max. */
export class Numbers {
  constructor({ shape, min, max, data }) {
    const packed = bytes(data);
    this.shape = shape;
    this.min = min;
    this.max = max;
    this.values = Float32Array.from(packed, (u) => min + (u / 255) * (max - min));
  }

  /** The part at these first indices, as a flat view. */
  at(...index) {
    const size = product(this.shape.slice(index.length));
    const start = index.reduce((position, i, axis) => position * this.shape[axis] + i, 0) * size;
    return this.values.subarray(start, start + size);
  }
}

/** Attention of one layer, (heads, tokens, tokens): unpacked one row at a time, when it is looked at. */
export class Attention {
  constructor({ shape, row_max, data }) {
    this.shape = shape;
    this.packed = bytes(data);
    this.rowMax = new Float32Array(bytes(row_max).buffer);
  }

  /** What `token` of `head` attends to, over all tokens. */
  row(head, token) {
    const tokens = this.shape[2];
    const row = head * this.shape[1] + token;
    const scale = this.rowMax[row] / 255;
    return Float32Array.from(this.packed.subarray(row * tokens, (row + 1) * tokens), (u) => u * scale);
  }
}

/** A position held within a list of this length. */
export const clamp = (position, length) => Math.max(0, Math.min(length - 1, position));

/** Position of the largest of some numbers. */
export function largestAt(values) {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}

/** The largest of some numbers. */
export const largest = (values) => values[largestAt(values)];

/** Middle of some numbers. */
export function median(values) {
  const sorted = Float32Array.from(values).sort();
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}
