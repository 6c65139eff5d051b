/** Computes beside the page, so that the page can be used meanwhile. */

import * as ort from "./ort.js";

let session;

async function begin({ wasm, model }) {
  // One thread: more would need headers that a page from a file cannot have.
  Object.assign(ort.env.wasm, { numThreads: 1, proxy: false, wasmBinary: wasm });
  session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"] });
  return {};
}

async function answer({ data, height, width }) {
  const image = new ort.Tensor("uint8", data, [height, width, data.length / (height * width)]);
  const { probabilities, set, rollout } = await session.run({ image });
  return {
    probabilities: probabilities.data,
    set: set ? Uint8Array.from(set.data) : null,
    rollout: rollout ? { values: rollout.data, grid: rollout.dims.slice(-2) } : null,
  };
}

async function reply({ id, begin: parts, image }) {
  try {
    self.postMessage({ id, ...(await (parts ? begin(parts) : answer(image))) });
  } catch (error) {
    self.postMessage({ id, error: String(error?.message ?? error) });
  }
}

let last = Promise.resolve(); // a session computes one image at a time
self.addEventListener("message", ({ data }) => (last = last.then(() => reply(data))));
