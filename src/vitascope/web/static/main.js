/** The page: takes the models from the source, puts a column for each, and keeps columns, state and address together. */

import { Column } from "./column.js";
import { compared } from "./compared.js";
import { h } from "./dom.js";
import { HELP, listen } from "./keys.js";
import { Notice } from "./notice.js";
import { Pick } from "./pick.js";
import { Plain } from "./plain.js";
import { Server } from "./source.js";
import { Snapshot } from "./snapshot.js";
import { Store, format, parse } from "./state.js";

const page = document.getElementById("page");
const source = Snapshot.present() ? new Snapshot() : new Server();
const notice = new Notice();
const complain = (words, retry) => notice.show(words, retry);

async function start() {
  const waiting = h("p", { class: "waiting", role: "status", testid: "waiting" }, "Reading the model …");
  page.replaceChildren(notice.element, waiting);
  try {
    const models = await source.models((words) => (waiting.textContent = words));
    waiting.remove();
    new Page(models).begin();
  } catch (error) {
    waiting.remove();
    complain(error.message, start);
  }
}

class Page {
  constructor(models) {
    this.name = models.map((model) => model.name).join(" and ");
    this.turn = 0; // counts loads, so that a late one knows that it is late
    this.store = new Store(parse(location.hash));
    const shared = { source, store: this.store, firstGrid: models[0].grid, complain };
    this.columns = models.map((model, index) => new (model.closed ? Plain : Column)(index, model, shared));
    this.opens = !models.some((model) => model.closed); // whether there are insides
    this.pick = new Pick(source, {
      take: (file) =>
        this.load(
          () => source.send(file),
          null,
          () => this.pick.button.focus(),
        ),
      open: (id) => this.load(() => source.looks({ kind: "example", id }), { kind: "example", id }),
      complain,
    });
    const columns = h(
      "div",
      { class: models.length > 1 ? "columns side-by-side" : "columns", testid: "columns" },
      this.columns.map((column) => column.element),
    );
    if (models.length > 1) columns.style.setProperty("--models", models.length);
    const keys = h(
      "p",
      { class: "keys note", id: "grid-keys" },
      HELP.map(([key, words]) => h("span", {}, h("kbd", {}, key), ` ${words}`)),
    );
    document.title = `${this.name} · Vitascope`;
    const above = source.compared ? [compared(source.compared)] : [];
    const programs = h("p", { class: "programs note" }, h("a", { href: "docs" }, "What programs can ask this server"));
    const below = [...(this.opens ? [keys] : []), ...(source.takesFiles ? [programs] : [])];
    page.append(this.pick.element, ...above, columns, ...below);
  }

  begin() {
    this.store.listen((state, before) => {
      if (state.hover !== before.hover && state.patch === before.patch) this.drawSoon();
      else this.draw();
      if (state.hover === before.hover || state.patch !== before.patch) this.write();
    });
    addEventListener("popstate", () => this.restore());
    listen(this.store, () => (this.opens && this.columns[0].look ? this.columns[0].view : null));
    this.restore();
  }

  /** Follows the address: at the beginning, on going back and forth, and when a link is pasted. */
  restore() {
    const state = parse(location.hash);
    this.mismatch();
    const shown = this.store.state.image;
    this.store.set({ ...state, model: this.name, image: shown });
    const image = state.image ?? (source.examples.length ? { kind: "example", id: source.examples[0].id } : null);
    const isShown = this.columns[0].look && image && shown && shown.kind === image.kind && shown.id === image.id;
    if (isShown) return this.stay();
    if (image) this.load(() => source.looks(image), image, null, true);
    else this.idle(`Drop or paste an image here, or choose one${this.opens ? ", to look inside" : ""}.`);
  }

  /** Gives up what is being loaded. */
  stay() {
    this.turn++;
    page.removeAttribute("aria-busy");
  }

  /** Gets looks and shows them; only the last that was asked for counts. */
  async load(get, image, after = null, follow = false) {
    const turn = ++this.turn;
    notice.hide();
    if (follow) this.mismatch();
    page.setAttribute("aria-busy", "true");
    this.idle("The model is looking …");
    try {
      const looks = await get();
      if (turn !== this.turn) return;
      await Promise.all(this.columns.map((column, index) => column.show(looks[index])));
      if (turn !== this.turn) return;
      const chosen = image ?? { kind: "look", id: looks[0].id };
      if (!follow) history.pushState(null, "", format({ ...this.store.state, image: chosen }));
      this.store.set({ image: chosen, hover: null });
      this.pick.show(chosen, looks[0].name);
      this.draw();
      after?.();
    } catch (error) {
      if (turn !== this.turn) return;
      this.idle("No image is shown. Choose another one.");
      complain(
        error.message,
        error.status === 404 || error.status === 422 || error.status === 413
          ? null
          : () => this.load(get, image, after, follow),
      );
    } finally {
      if (turn === this.turn) page.removeAttribute("aria-busy");
    }
  }

  mismatch() {
    const { model } = parse(location.hash);
    if (model && model !== this.name) complain(`This link was made with “${model}”; shown here is “${this.name}”.`);
  }

  idle(words) {
    for (const column of this.columns) column.say(words);
    this.draw();
  }

  /** At once, because the next key may come before the next frame and starts from what is shown. */
  draw() {
    cancelAnimationFrame(this.drawing);
    this.drawing = 0;
    for (const column of this.columns) column.update(this.store.state);
  }

  /** With the next frame, for a pointer that moves faster than that. */
  drawSoon() {
    this.drawing ||= requestAnimationFrame(() => this.draw());
  }

  /** Writes the address a moment after the last change, so that a slider does not write it a hundred times. */
  write() {
    clearTimeout(this.writing);
    this.writing = setTimeout(() => history.replaceState(null, "", format(this.store.state)), 150);
  }
}

start();
