/** A classifier as a page: photographs go in, and everything happens in this browser. */

import { Said, understood } from "./answer.js";
import { bytes } from "./arrays.js";
import { Camera } from "./camera.js";
import { h } from "./dom.js";
import { isImage, leftOut, listed, target } from "./dropped.js";
import { Engine } from "./engine.js";
import { icon, logo } from "./icons.js";
import { colophon } from "./made.js";
import { Notice } from "./notice.js";
import { Photographs } from "./photographs.js";
import { decode, pixels } from "./pixels.js";
import { Seen } from "./seen.js";

const about = JSON.parse(document.getElementById("data-classifier").textContent);
const page = document.getElementById("page");
const NAMED = 8; // kinds in the page's first sentence

class Classifier {
  constructor() {
    this.notice = new Notice();
    this.said = new Said(about);
    this.seen = new Seen(about.shape);
    this.photographs = new Photographs(about, { open: (photograph) => this.open(photograph), clear: () => this.clear() });
    this.camera = new Camera({
      frame: (file) => this.glance(file),
      add: (_, files) => this.take(listed(files)),
      complain: (words) => this.notice.show(words),
      stopped: () => this.rest(),
      boxes: false,
    });
    this.empty = h("div", { class: "empty", testid: "empty" }, "Drop photographs or a folder here, or paste one.");
    const stage = h("div", { class: "place" }, this.empty, this.seen.element, this.camera.element);
    this.chips = about.examples.map((example) => this.chip(example));
    page.replaceChildren(
      h("header", { class: "pick" }, h("p", { class: "brand" }, logo(), "Vitascope"), this.shelf()),
      this.notice.element,
      h("header", { class: "intro" }, h("h1", {}, about.title), h("p", { class: "lead", testid: "about" }, introduction())),
      h("div", { class: "classify" }, h("div", { class: "stage" }, this.choices(), stage), this.said.element),
      this.photographs.element,
      colophon(about),
    );
    target(document.body, (found) => this.take(found));
    document.addEventListener("paste", (event) => this.take(listed(event.clipboardData?.files ?? [])));
    this.said.say("");
    this.ready = this.start();
    if (this.chips.length) this.chips[0].click();
  }

  /** Whether there is a model; if not, why was said. */
  async start() {
    const told = (share) => this.chosen || this.said.say(`Opening the model … ${Math.round(100 * share)} %`);
    try {
      this.engine = await Engine.start(about.pieces, told);
      if (!this.chosen) this.said.say("Ready.");
      page.dataset.ready = "yes";
      return true;
    } catch (error) {
      this.said.say("");
      this.notice.show(error.message);
      return false;
    }
  }

  shelf() {
    if (!this.chips.length) return null;
    const note = h("span", { class: "note", testid: "examples-note" }, about.examples_note);
    return h("div", { class: "chips", role: "group", "aria-label": "Examples" }, note, this.chips);
  }

  chip({ name, content }) {
    const file = new File([bytes(content)], name);
    const picture = h("img", { src: `data:image/jpeg;base64,${content}`, alt: "" }); // or a PNG: browsers look inside
    const button = h("button", { type: "button", class: "chip", testid: "example" }, picture, h("span", {}, name));
    button.addEventListener("click", () => this.open((button.photograph ??= { file, name, chip: button })));
    return button;
  }

  choices() {
    const input = (testid, attributes) => {
      const element = h("input", {
        ...{ type: "file", class: "unseen", tabindex: -1, testid, "aria-hidden": "true", multiple: true },
        ...attributes,
        change: () => {
          this.take(listed(element.files));
          element.value = "";
        },
      });
      return element;
    };
    const files = input("files", { accept: "image/*" });
    const folder = input("folder", { webkitdirectory: true });
    const button = (kind, testid, name, words, of) =>
      h("button", { type: "button", class: kind, testid, click: () => of.click() }, icon(name), words);
    return h(
      "p",
      { class: "acts" },
      button("primary", "choose", "image", "Choose photographs", files),
      button("plain with-icon", "choose-folder", "open", "Folder", folder),
      this.camera.button,
      files,
      folder,
    );
  }

  /** [{file, folder}] that a person gives. */
  take(given) {
    if (!given.length) return;
    this.notice.hide();
    const found = given.filter(({ file }) => isImage(file));
    if (found.length < given.length) this.notice.show(`${leftOut(given.length - found.length)}.`);
    if (!found.length) return;
    const taken = found.map(({ file, folder }) => ({ file, name: folder ? `${folder}/${file.name}` : file.name }));
    for (const photograph of taken) this.photographs.add(photograph);
    if (!this.camera.on) this.open(taken[0]);
    this.work();
  }

  clear() {
    this.photographs.clear();
    this.camera.stop();
    this.rest();
  }

  /** Nothing is shown. */
  rest() {
    this.chosen = null;
    this.seen.hide();
    this.empty.hidden = false;
    this.said.say("Ready.");
  }

  /** Shows a photograph, and what was said of it. */
  async open(photograph) {
    this.camera.stop();
    this.chosen = photograph;
    this.photographs.mark(photograph);
    for (const chip of this.chips) chip.setAttribute("aria-pressed", String(chip === photograph.chip));
    this.said.say("Looking …");
    const bitmap = await this.decoded(photograph);
    if (this.chosen === photograph) {
      this.shown = photograph;
      if (bitmap) this.seen.show(bitmap, photograph.name);
      else this.seen.hide();
      this.empty.hidden = Boolean(bitmap);
      this.answered(photograph);
    }
    bitmap?.close();
    this.work();
  }

  /** What is known of it by now. */
  answered(photograph) {
    this.photographs.update(photograph);
    if (this.chosen !== photograph || this.camera.on) return;
    if (photograph.error) this.said.fail(`${photograph.name}: ${photograph.error}`);
    if (!photograph.answer) return;
    this.said.show(photograph.answer);
    if (this.shown === photograph) this.seen.rolled(photograph.rollout);
  }

  /** Asks the model about all that waits, what is shown first. */
  async work() {
    if (this.working) return;
    this.working = true;
    page.setAttribute("aria-busy", "true");
    try {
      if (await this.ready) for (let next; (next = this.next()); ) await this.ask(next);
    } finally {
      this.working = false;
      page.removeAttribute("aria-busy");
    }
  }

  next() {
    const waits = (photograph) => photograph && !photograph.answer && !photograph.error;
    return waits(this.chosen) ? this.chosen : this.photographs.all.find(waits);
  }

  async ask(photograph) {
    const bitmap = await this.decoded(photograph);
    try {
      if (bitmap) {
        this.photographs.face(photograph, bitmap);
        const given = await this.engine.answer(pixels(bitmap));
        Object.assign(photograph, { answer: understood(about, given), rollout: given.rollout });
      }
    } catch (error) {
      photograph.error = error.message;
      this.notice.show(error.message);
    } finally {
      bitmap?.close();
    }
    this.answered(photograph);
  }

  /** The file decoded; null, with the error kept, where it cannot be. */
  async decoded(photograph) {
    try {
      return await decode(photograph.file, about.most_pixels);
    } catch (error) {
      photograph.error = error.message;
      return null;
    }
  }

  /** What the camera sees now: answered, and not kept. */
  async glance(file) {
    this.chosen = null;
    this.photographs.mark(null);
    this.seen.hide();
    this.empty.hidden = true;
    if (!(await this.ready)) return this.camera.stop();
    const photograph = { file };
    await this.ask(photograph);
    if (photograph.error) return this.camera.stop();
    if (this.camera.on) this.said.show(photograph.answer);
  }
}

function introduction() {
  const { labels, several, may_be_none: mayBeNone } = about;
  const most = labels.length > NAMED ? NAMED - 1 : labels.length;
  const rest = labels.length - most;
  const named = labels.slice(0, most).join(", ") + (rest ? ` and ${rest} others` : "");
  const asks = several ? "Says which of these a photograph shows" : "Tells which of these a photograph shows";
  const always = mayBeNone ? "" : " It knows nothing else, and calls a photograph of something else one of these too.";
  return `${asks}: ${named}.${always} Everything happens in this browser: no photograph leaves it.`;
}

new Classifier();
