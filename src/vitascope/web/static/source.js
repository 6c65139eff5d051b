/** Where the page's data comes from when it is served: the server it came from, and no other. */

const PATIENCE = 120; // tries, a second apart, while the server still loads its model

/** An answer that says in words why there is no data. */
export class SourceError extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

/** The server. Images that were sent are kept, so that one the server has forgotten is sent again unasked. */
export class Server {
  constructor(root = "api/") {
    this.root = root;
    this.sent = new Map(); // look id → what made it
    this.takesFiles = true;
  }

  /** The models shown: one. */
  async models(waiting) {
    const model = await this.patiently("model", {}, waiting);
    this.examples = model.examples ?? [];
    this.examplesNote = model.examples_note ?? "";
    this.teaches = model.teach === true;
    return [model];
  }

  /** As `ask`; `waiting` is told when the server is still loading its model. */
  async patiently(address, options = {}, waiting = () => {}) {
    for (let tries = 0; ; tries++) {
      try {
        return await this.ask(address, options);
      } catch (error) {
        if (error.status !== 503 || tries >= PATIENCE) throw error;
        waiting(error.message);
        await new Promise((resolve) => setTimeout(resolve, 1000));
      }
    }
  }

  /** The look that the address names, one for each model. */
  async looks({ kind, id }) {
    if (kind === "example") return [this.remember(await this.ask(`examples/${encodeURIComponent(id)}`), { kind, id })];
    const file = this.sent.get(id);
    try {
      return [await this.ask(`looks/${encodeURIComponent(id)}`)];
    } catch (error) {
      if (error.status !== 404) throw error;
      if (file instanceof File) return this.send(file);
      throw new SourceError("The server no longer holds the image of this link. Choose the image again.", 404);
    }
  }

  /** Looks at a person's own image. */
  async send(file) {
    const form = new FormData();
    form.append("image", file);
    return [this.remember(await this.ask("look", { method: "POST", body: form }), file)];
  }

  /** Attention of one layer. */
  async layer(_model, look, layer, signal) {
    const address = `looks/${encodeURIComponent(look.id)}/layers/${layer}`;
    try {
      return await this.ask(address, { signal });
    } catch (error) {
      const origin = this.sent.get(look.id);
      if (error.status !== 404 || !origin) {
        throw error.status === 404
          ? new SourceError("The server no longer holds this image. Choose it again.", 404)
          : error;
      }
      const [again] = origin instanceof File ? await this.send(origin) : await this.looks(origin);
      if (again.id !== look.id) throw new SourceError("The server now shows another model. Reload this page.", 409);
      return this.ask(address, { signal });
    }
  }

  remember(look, origin) {
    this.sent.set(look.id, origin);
    return look;
  }

  async ask(address, options = {}) {
    let answer;
    try {
      answer = await fetch(this.root + address, { cache: "no-store", ...options });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new SourceError("The server does not answer. Is it still running?");
    }
    if (answer.ok) return answer.json();
    throw new SourceError(await reason(answer), answer.status);
  }
}

async function reason(answer) {
  try {
    const { error } = await answer.json();
    if (typeof error === "string" && error) return sentence(error);
  } catch {
    // No JSON: the status says it.
  }
  return `The server answered with status ${answer.status}.`;
}

function sentence(text) {
  return text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}
