/** What of a saved run is needed to go on with it, out of its zip or the files themselves; the model stays here. */

const TAUGHT = "taught.safetensors";
const RESULTS = "results.json";
const END = 0x06054b50; // of the list of contents (APPNOTE 4.3.16)
const ENTRY = 0x02014b50; // in that list (4.3.12)
const MOST = 22 + 0xffff; // bytes at the end of a file in which the end of the list is found

/** [bytes of taught.safetensors, their SHA-256 by results.json]; raises Error in words. */
export async function taught(files) {
  const zip = files.find((file) => /\.zip$/i.test(file.name));
  const parts = zip ? await unzipped(zip) : new Map(files.map((file) => [file.name, file]));
  const [content, results] = [parts.get(TAUGHT), parts.get(RESULTS)];
  if (!content || !results) throw new Error(`This is no saved run: ${TAUGHT} and ${RESULTS} belong to one.`);
  let sha256;
  try {
    sha256 = JSON.parse(await results.text()).taught_sha256;
  } catch {
    // No JSON: nothing that says what the other file must be.
  }
  if (!/^[0-9a-f]{64}$/.test(sha256 ?? "")) throw new Error(`The ${RESULTS} of this run is damaged.`);
  return [content, sha256];
}

/** The two files of a zip as Blobs, by name. */
async function unzipped(zip) {
  const tail = new DataView(await zip.slice(Math.max(zip.size - MOST, 0)).arrayBuffer());
  let at = tail.byteLength - 22;
  while (at >= 0 && tail.getUint32(at, true) !== END) at--;
  if (at < 0) throw new Error(`“${zip.name}” is no zip file, or not all of it.`);
  const [size, start] = [tail.getUint32(at + 12, true), tail.getUint32(at + 16, true)];
  const list = new DataView(await zip.slice(start, start + size).arrayBuffer());
  const found = new Map();
  for (let place = 0; place + 46 <= list.byteLength && list.getUint32(place, true) === ENTRY; ) {
    const field = (offset) => list.getUint16(place + offset, true);
    const name = new TextDecoder().decode(new Uint8Array(list.buffer, place + 46, field(28)));
    const last = name.split("/").at(-1);
    const length = list.getUint32(place + 20, true);
    if ((last === TAUGHT || last === RESULTS) && !found.has(last)) {
      found.set(last, await member(zip, list.getUint32(place + 42, true), length, field(10)));
    }
    place += 46 + field(28) + field(30) + field(32);
  }
  return found;
}

async function member(zip, start, length, method) {
  const head = new DataView(await zip.slice(start, start + 30).arrayBuffer());
  const begins = start + 30 + head.getUint16(26, true) + head.getUint16(28, true);
  const raw = zip.slice(begins, begins + length);
  if (method === 0) return raw;
  return new Response(raw.stream().pipeThrough(new DecompressionStream("deflate-raw"))).blob();
}
