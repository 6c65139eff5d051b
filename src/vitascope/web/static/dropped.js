/** Which files come with a drop or a choice, those of folders too, each with the name of its folder; and which of them
 * are images. Hidden files are passed over. */

import { plural } from "./words.js";

const ENDINGS = /\.(jpe?g|png|webp|avif|bmp|gif|tiff?|heic|heif)$/i;

/** [{file, folder}] of a drop; `folder` is null for a file that was dropped by itself. */
export async function dropped(transfer) {
  const items = [...transfer.items].filter((item) => item.kind === "file"); // gone after the first pause
  const entries = items.map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile());
  const found = [];
  for (const entry of entries) await walk(entry, null, found);
  return found;
}

/** The same of a list of files: chosen ones, of a chosen folder maybe, or pasted ones. */
export function listed(files) {
  const shown = [...files].filter(({ name }) => !name.startsWith("."));
  return shown.map((file) => ({ file, folder: file.webkitRelativePath?.split("/").slice(0, -1).at(-1) ?? null }));
}

/** Whether it may be one, by what the system or its ending says. */
export function isImage(file) {
  return file.type.startsWith("image/") || ENDINGS.test(file.name);
}

/** Of so many files that are none, in words. */
export function leftOut(number) {
  return `${plural(number, "file")} left out: ${number === 1 ? "it is no image" : "they are no images"}`;
}

/** Lets an element take drops; `take` gets [{file, folder}]. */
export function target(element, take) {
  const carries = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  const over = (is) => element.classList.toggle("over", is);
  element.addEventListener("dragover", (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    event.stopPropagation();
    over(true);
  });
  element.addEventListener("dragleave", (event) => element.contains(event.relatedTarget) || over(false));
  element.addEventListener("drop", async (event) => {
    over(false);
    if (!carries(event)) return;
    event.preventDefault();
    event.stopPropagation();
    take(await dropped(event.dataTransfer));
  });
}

async function walk(entry, folder, found) {
  if (!entry || entry.name.startsWith(".")) return;
  if (entry instanceof File) return void found.push({ file: entry, folder });
  if (entry.isDirectory) {
    for (const inner of await read(entry.createReader())) await walk(inner, entry.name, found);
  } else {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    found.push({ file, folder });
  }
}

/** A folder is read in parts. */
async function read(reader) {
  const found = [];
  for (;;) {
    const part = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!part.length) return found;
    found.push(...part);
  }
}
