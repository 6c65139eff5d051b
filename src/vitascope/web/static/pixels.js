/** A file as the model's program takes it: upright, its numbers as they are stored, on white where it is transparent. */

const ROWS = 512; // read from a canvas at a time: phones have little room for large ones

/** The file decoded; raises Error in words. Close it when it is no longer needed. */
export async function decode(file, mostPixels) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image", colorSpaceConversion: "none" });
  } catch {
    throw new Error("This browser cannot read it as an image.");
  }
  if (bitmap.width * bitmap.height > mostPixels) {
    bitmap.close();
    throw new Error(`It has more than ${Math.round(mostPixels / 1e6)} million pixels. Make it smaller.`);
  }
  return bitmap;
}

/** {data: Uint8Array (height · width · 3), height, width}. */
export function pixels(bitmap) {
  const { width, height } = bitmap;
  const data = new Uint8Array(width * height * 3);
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, Math.min(ROWS, height)];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#fff";
  for (let top = 0, to = 0; top < height; top += ROWS) {
    const rows = Math.min(ROWS, height - top);
    context.fillRect(0, 0, width, rows);
    context.drawImage(bitmap, 0, top, width, rows, 0, 0, width, rows);
    const { data: read } = context.getImageData(0, 0, width, rows);
    for (let from = 0; from < read.length; from += 4) {
      data[to++] = read[from];
      data[to++] = read[from + 1];
      data[to++] = read[from + 2];
    }
  }
  return { data, height, width };
}
