/** What is too large to stand in the page's data: in pieces, gzip within base64, inside the page or in files beside it. */

import { bytes } from "./arrays.js";

const arrived = new Map(); // name of a piece → its text, of those that files bring
globalThis.vitascopePiece = (name, text) => arrived.set(name, text);

/** The bytes of a part of so many pieces; `told(share)` hears how far it is. Raises Error in words. */
export async function part(name, pieces, told = () => {}) {
  const packed = [];
  for (let i = 0; i < pieces; i++) {
    packed.push(bytes(await piece(`${name}-${i}`)));
    told((i + 1) / pieces);
  }
  const unpacked = new Blob(packed).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(unpacked).arrayBuffer());
}

async function piece(name) {
  const inside = document.getElementById(`part-${name}`);
  if (inside) {
    const text = inside.textContent;
    inside.remove();
    return text;
  }
  await new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = `parts/${name}.js`;
    script.addEventListener("load", () => (script.remove(), resolve()));
    script.addEventListener("error", () => reject(new Error(incomplete(`parts/${name}.js`))));
    document.head.append(script);
  });
  const text = arrived.get(name);
  arrived.delete(name);
  if (text === undefined) throw new Error(incomplete(`parts/${name}.js`));
  return text;
}

function incomplete(file) {
  return `${file} is not beside this page. Ask for the whole folder, or unpack it first if it came as a zip file.`;
}
