/** A box for each class: its name, its photographs, and how more come into it. */

import { h } from "./dom.js";
import { target } from "./dropped.js";
import { icon } from "./icons.js";
import { plural } from "./words.js";

const SHOWN = 19; // photographs of a box, until all are asked for

export class Boxes {
  /** `on`: add(name, files), spread([{file, folder}]), rename(from, to), forget(name), choose(). */
  constructor(teaching, on) {
    Object.assign(this, { teaching, on, boxes: new Map(), chosen: new Set() });
    this.list = h("div", { class: "boxes", testid: "boxes" });
    this.more = h(
      "button",
      { type: "button", class: "box box-new", testid: "new-box", click: () => this.begin() },
      icon("plus"),
      "Another box",
    );
    target(this.more, (found) => on.spread(found));
    this.element = h("section", { "aria-label": "Boxes" }, this.list);
    for (let n = 0; n < 2; n++) this.open(this.fresh());
  }

  /** A name that no box has. */
  fresh() {
    let n = 1;
    while (this.boxes.has(`Kind ${n}`)) n++;
    return `Kind ${n}`;
  }

  /** The first box without photographs, or a name for a new one. */
  vacant() {
    return [...this.boxes.values()].find((box) => !box.photos.length)?.name ?? this.fresh();
  }

  /** Another box, its name to be typed. */
  begin() {
    const box = this.open(this.fresh());
    box.untouched = false;
    box.field.select();
  }

  /** The box of that name, new where there is none. */
  open(name) {
    const box = this.boxes.get(name) ?? new Box(name, this);
    this.boxes.set(name, box);
    this.lay();
    return box;
  }

  /** Puts what the server holds into the boxes; those without photographs stay, unless only empty ones were there. */
  update() {
    const { classes, photos } = this.teaching.state;
    for (const name of classes) if (!this.boxes.has(name)) this.boxes.set(name, new Box(name, this));
    this.chosen.clear();
    for (const [name, box] of this.boxes) {
      const label = classes.indexOf(name);
      box.update(photos.map((photo, place) => ({ ...photo, place })).filter((photo) => photo.class === label));
    }
    if (classes.length > 1) {
      for (const [name, box] of this.boxes) if (!box.photos.length && box.untouched) this.boxes.delete(name);
    }
    this.lay();
  }

  lay() {
    const wanted = [...this.boxes.values()].map((box) => box.element).concat(this.more);
    const there = [...this.list.children];
    if (wanted.length !== there.length || wanted.some((element, i) => element !== there[i]))
      this.list.replaceChildren(...wanted);
  }

  rename(box, name) {
    const clean = name.trim().replace(/\s+/g, " ").slice(0, 100);
    if (!clean || clean === box.name || this.boxes.has(clean)) {
      box.field.value = box.name;
      return clean && clean !== box.name ? this.on.taken(clean) : undefined;
    }
    const before = box.name;
    box.called(clean);
    this.boxes = new Map([...this.boxes.values()].map((each) => [each.name, each]));
    return box.photos.length ? this.on.rename(before, clean) : undefined;
  }

  remove(box) {
    if (box.photos.length) return this.on.forget(box.name);
    this.boxes.delete(box.name);
    return this.lay();
  }
}

class Box {
  constructor(name, boxes) {
    Object.assign(this, { boxes, photos: [], all: false, untouched: true });
    this.field = h("input", {
      class: "box-name",
      maxlength: 100,
      spellcheck: "false",
      "aria-label": "Name of this box",
      change: () => boxes.rename(this, this.field.value),
      keydown: (event) => event.key === "Enter" && this.field.blur(),
    });
    this.count = h("p", { class: "note", role: "status" });
    this.thumbs = h("ul", { class: "thumbs" });
    this.input = h("input", {
      type: "file",
      accept: "image/*",
      multiple: true,
      class: "unseen",
      tabindex: -1,
      "aria-hidden": "true",
      change: () => {
        boxes.on.add(this.name, [...this.input.files]);
        this.input.value = "";
      },
    });
    this.bin = h(
      "button",
      { type: "button", class: "icon-button", click: () => boxes.remove(this) },
      icon("bin"),
    );
    this.element = h(
      "section",
      { class: "box", testid: "box" },
      h("header", {}, this.field, this.bin),
      this.thumbs,
      h(
        "footer",
        {},
        h(
          "button",
          { type: "button", class: "plain", click: () => this.input.click() },
          "Add photographs",
        ),
        this.count,
        this.input,
      ),
    );
    target(this.element, (found) => {
      const loose = found.filter(({ folder }) => !folder).map(({ file }) => file);
      if (loose.length) boxes.on.add(this.name, loose);
      const folders = found.filter(({ folder }) => folder);
      if (folders.length) boxes.on.spread(folders);
    });
    this.called(name);
    this.update([]);
  }

  called(name) {
    if (this.name) this.untouched = false;
    this.name = name;
    this.field.value = name;
    this.element.dataset.name = name;
    this.bin.setAttribute("aria-label", `Forget the box ${name}`);
    this.element.setAttribute("aria-label", name);
  }

  update(photos) {
    this.photos = photos;
    this.say("");
    const shown = this.all ? photos : photos.slice(0, SHOWN);
    const rest = photos.length - shown.length;
    const empty = h("li", { class: "thumbs-empty" }, "Drop photographs here");
    const more = h(
      "li",
      {},
      h("button", { type: "button", class: "thumb thumb-more", click: () => this.showAll() }, `+ ${rest}`),
    );
    this.thumbs.replaceChildren(
      ...(photos.length ? shown.map((photo) => h("li", {}, this.thumb(photo))) : [empty]),
      ...(rest ? [more] : []),
    );
  }

  /** What is going on, or how many there are. */
  say(words) {
    this.count.textContent = words || (this.photos.length ? plural(this.photos.length, "photograph") : "");
  }

  showAll() {
    this.all = true;
    this.update(this.photos);
  }

  thumb(photo) {
    const { chosen, on } = this.boxes;
    const button = h(
      "button",
      {
        type: "button",
        class: "thumb",
        title: photo.name,
        "aria-label": photo.name,
        "aria-pressed": "false",
        click: () => {
          if (!chosen.delete(photo.place)) chosen.add(photo.place);
          button.setAttribute("aria-pressed", String(chosen.has(photo.place)));
          on.choose();
        },
      },
      face(this.boxes.teaching, photo),
    );
    return button;
  }
}

/** The small picture of a photograph, or its name where only its features are known. */
export function face(teaching, photo) {
  const address = teaching.picture(photo);
  return address ? h("img", { src: address, alt: "", loading: "lazy" }) : h("span", { class: "faceless" }, photo.name);
}
