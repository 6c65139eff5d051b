/** The model, in a worker: an image goes in, probabilities come out, one after the other. */

import { part } from "./parts.js";

export class Engine {
  /** `pieces`: {worker, wasm, model} → how many each has; `told(share)` hears how far it is. Raises Error in words. */
  static async start(pieces, told) {
    const engine = new Engine();
    const all = pieces.worker + pieces.wasm + pieces.model;
    let before = 0;
    const get = async (name) => {
      const bytes = await part(name, pieces[name], (share) => told((before + share * pieces[name]) / all));
      before += pieces[name];
      return bytes;
    };
    // As data: address: of a page from a file, browsers run no module from a blob: address.
    const text = new TextDecoder().decode(await get("worker"));
    engine.worker = new Worker(`data:text/javascript,${encodeURIComponent(text)}`, { type: "module" });
    engine.waiting = new Map();
    engine.count = 0;
    engine.worker.addEventListener("message", ({ data }) => engine.settle(data));
    engine.worker.addEventListener("error", (event) => engine.fail(event.message || "it does not start"));
    const [wasm, model] = [await get("wasm"), await get("model")];
    await engine.ask({ begin: { wasm, model } }, [wasm.buffer, model.buffer]);
    return engine;
  }

  /** {probabilities: Float32Array (K), set: Uint8Array (K) | null, rollout: {values, grid: [r, c]} | null} of {data, height, width}. */
  answer(image) {
    return this.ask({ image }, [image.data.buffer]);
  }

  ask(message, transferred) {
    const id = ++this.count;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      if (this.broken) return this.fail(this.broken);
      this.worker.postMessage({ id, ...message }, transferred);
    });
  }

  settle({ id, error, ...answer }) {
    const { resolve, reject } = this.waiting.get(id);
    this.waiting.delete(id);
    if (error === undefined) resolve(answer);
    else reject(new Error(`The model cannot be computed here (${error}).`));
  }

  fail(why) {
    this.broken = why;
    for (const { reject } of this.waiting.values()) reject(new Error(`This browser cannot run the model (${why}).`));
    this.waiting.clear();
  }
}
