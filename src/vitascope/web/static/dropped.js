/** Which image files come with a drop or a choice, those of folders too: each with the name of its folder. */

const ENDINGS = /\.(jpe?g|png|webp|avif|bmp|gif|tiff?|heic|heif)$/i;

/** [{file, folder}] of a drop; `folder` is null for a file that was dropped by itself. */
export async function dropped(transfer) {
  const items = [...transfer.items].filter((item) => item.kind === "file"); // gone after the first pause
  const entries = items.map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile());
  const found = [];
  for (const entry of entries) await walk(entry, null, found);
  return found;
}

/** Files that may be images, by what the system or their ending says. */
export function images(files) {
  return [...files].filter((file) => file.type.startsWith("image/") || ENDINGS.test(file.name));
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
  if (entry instanceof File) return void found.push(...images([entry]).map((file) => ({ file, folder })));
  if (entry.isDirectory) {
    for (const inner of await read(entry.createReader())) await walk(inner, entry.name, found);
  } else {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    found.push(...images([file]).map((image) => ({ file: image, folder })));
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
