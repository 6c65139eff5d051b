/** What this tab teaches, as the server holds it: asked and changed one thing after another. */

import { Server } from "./source.js";

const KEY = "vitascope-teach"; // in this tab's own storage: the id outlives a reload, and no other tab has it
const MOST_FILES = 16; // in one request, so that one sees it going on
const MOST_BYTES = 24 << 20;
const TRIES = 20; // a second apart, while the server is busy with others

export class Teaching {
  constructor() {
    this.server = new Server();
    this.state = { version: 0, undo: false, classes: [], photos: [] };
    this.steps = 0;
    this.last = Promise.resolve();
  }

  /** What was taught before a reload, or a new beginning. */
  async open(waiting) {
    const id = sessionStorage.getItem(KEY);
    if (id) {
      try {
        return this.take(await this.server.patiently(`teach/${id}`, {}, waiting));
      } catch (error) {
        if (error.status !== 404) throw error;
      }
    }
    return this.take(await this.server.patiently("teach", { method: "POST" }, waiting));
  }

  /** Photographs for a box, a few at a time; `going(done, all)`. What came of it: added, again, moved, refused. */
  add(box, files, going = () => {}) {
    const step = `${Date.now()}-${this.steps++}`;
    const query = new URLSearchParams({ class: box, step });
    return this.inTurn(async () => {
      const came = { added: 0, again: 0, moved: 0, refused: [] };
      let done = 0;
      const left = parts(files);
      while (left.length) {
        const part = left.shift();
        const form = new FormData();
        for (const file of part) form.append("image", file);
        try {
          const answer = await this.ask(`photos?${query}`, { method: "POST", body: form });
          for (const name of ["added", "again", "moved"]) came[name] += answer[name];
          came.refused.push(...answer.refused);
          this.take(answer);
        } catch (error) {
          if (error.status !== 413) throw error;
          if (part.length > 1) {
            left.unshift(...part.map((file) => [file])); // together too large, or one of them
            continue;
          }
          came.refused.push({ name: part[0].name, why: error.message });
        }
        going((done += part.length), files.length);
      }
      return came;
    });
  }

  /** forget, forget_class, move and to, rename and to, or undo. */
  change(asked) {
    return this.inTurn(async () => this.take(await this.json("change", { version: this.state.version, ...asked })));
  }

  /** The head, solved, and what it knows of itself; null while there is nothing to tell apart. */
  lesson() {
    return this.inTurn(async () => {
      const found = await this.ask("lesson");
      return found.ready ? found : null;
    });
  }

  /** What the head says of a photograph. */
  attempt(file) {
    const form = new FormData();
    form.append("image", file);
    return this.inTurn(() => this.ask("try", { method: "POST", body: form }));
  }

  /** Goes on with a run: the bytes of its taught.safetensors, and their SHA-256 by its results. */
  load(content, sha256) {
    const query = new URLSearchParams({ sha256 });
    return this.inTurn(async () => this.take(await this.ask(`run?${query}`, { method: "POST", body: content })));
  }

  /** Where the run is saved from. */
  get run() {
    return `api/teach/${this.state.id}/run`;
  }

  /** Where the small picture of a photograph is; null of one that came with a run. */
  picture(photo) {
    return photo.picture && `api/teach/${this.state.id}/photos/${photo.picture}`;
  }

  take(state) {
    const { id, version, undo, classes, photos } = state;
    this.state = { id, version, undo, classes, photos };
    sessionStorage.setItem(KEY, id);
    return this.state;
  }

  json(address, asked) {
    const headers = { "content-type": "application/json" };
    return this.ask(address, { method: "POST", headers, body: JSON.stringify(asked) });
  }

  async ask(address, options) {
    for (let tries = 0; ; tries++) {
      try {
        return await this.server.ask(`teach/${this.state.id}/${address}`, options);
      } catch (error) {
        if (error.status !== 503 || tries >= TRIES) throw error;
        await new Promise((resolve) => setTimeout(resolve, 1000));
      }
    }
  }

  inTurn(work) {
    const mine = this.last.then(work, work);
    this.last = mine.catch(() => {});
    return mine;
  }
}

/** Files in parts that a request may hold. */
function parts(files) {
  const found = [];
  let bytes = 0;
  for (const file of files) {
    const part = found.at(-1);
    if (!part || part.length >= MOST_FILES || bytes + file.size > MOST_BYTES) {
      found.push([file]);
      bytes = file.size;
    } else {
      part.push(file);
      bytes += file.size;
    }
  }
  return found;
}
