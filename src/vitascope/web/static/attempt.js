/** Trying it: a photograph that is chosen, dropped or pasted, or what the camera sees. */

import { face } from "./boxes.js";
import { Camera } from "./camera.js";
import { h, section } from "./dom.js";
import { isImage, leftOut, target } from "./dropped.js";
import { icon } from "./icons.js";
import { bar } from "./predictions.js";
import { inWords, short } from "./words.js";

export class Attempt {
  /** `on`: complain(words), add(name, files) of a picture that the camera took. */
  constructor(teaching, on) {
    Object.assign(this, { teaching, on, turn: 0 });
    const input = h("input", {
      type: "file",
      accept: "image/*",
      class: "unseen",
      tabindex: -1,
      testid: "try-file",
      "aria-hidden": "true",
      change: () => {
        this.take([...input.files]);
        input.value = "";
      },
    });
    this.choose = h(
      "button",
      { type: "button", class: "primary", testid: "try", click: () => input.click() },
      icon("image"),
      "Try a photograph",
    );
    this.camera = new Camera({ frame: (picture) => this.try(picture), add: on.add, complain: on.complain });
    this.picture = h("canvas", { class: "tried hidden", testid: "tried", role: "img", "aria-label": "What was tried" });
    this.says = h("div", { class: "answer", role: "status", testid: "answer" });
    this.element = section(
      "try-it",
      "Try it",
      null,
      null,
      h("p", { class: "acts" }, this.choose, this.camera.button, input),
      this.camera.element,
      this.picture,
      this.says,
    );
    target(this.element, (found) => this.take(found.map(({ file }) => file)));
    document.addEventListener("paste", (event) => this.take([...(event.clipboardData?.files ?? [])]));
    this.ready(false);
  }

  /** Whether there is something to try; what was tried before is asked again, since the answer may be another. */
  ready(is, boxes = []) {
    this.possible = is;
    this.choose.disabled = !is;
    this.camera.boxes(boxes);
    if (!is) this.wait();
    else if (this.tried && !this.camera.on) this.try(this.tried);
    else if (!this.tried) this.say("Drop a photograph here that it has not seen.");
  }

  wait() {
    this.say("As soon as two boxes have photographs.");
  }

  /** Tries the first image of the files that a person gives. */
  async take(files) {
    const file = files.find(isImage);
    if (!file) return files.length ? this.on.complain(`${leftOut(files.length)}.`) : undefined;
    if (!this.possible) return this.wait();
    this.camera.stop();
    this.say("Looking …");
    this.draw(file);
    await this.try(file);
  }

  /** Asks, and shows the answer unless another was asked for meanwhile. */
  async try(file) {
    if (!this.possible) return;
    const turn = ++this.turn;
    this.tried = file;
    try {
      const answer = await this.teaching.attempt(file);
      if (turn === this.turn) this.show(answer);
    } catch (error) {
      if (turn !== this.turn) return;
      this.tried = null;
      this.say("");
      this.on.complain(error.message);
    }
  }

  async draw(file) {
    try {
      const image = await createImageBitmap(file);
      const scale = Math.min(1, 640 / Math.max(image.width, image.height));
      this.picture.width = Math.round(image.width * scale);
      this.picture.height = Math.round(image.height * scale);
      this.picture.getContext("2d").drawImage(image, 0, 0, this.picture.width, this.picture.height);
      this.picture.classList.remove("hidden");
    } catch {
      this.picture.classList.add("hidden"); // of a kind that this browser does not show; the model may know it
    }
  }

  say(words) {
    this.says.replaceChildren(h("p", { class: "note" }, words));
  }

  show({ labels, set, coverage, like, version }) {
    if (version !== this.teaching.state.version) return;
    const { photos, classes } = this.teaching.state;
    const [words, note] = spoken(set, labels, coverage, photos.length);
    const similar = like.map(({ place, lead }) => {
      const photo = photos[place];
      const kind = classes[photo.class];
      const speaks = `${lead >= 0 ? "+" : "−"}${short(Math.abs(lead))}`;
      return h(
        "li",
        { title: `${photo.name}, in ${kind}: added ${speaks} to the lead of the first answer over the second` },
        h("span", { class: "thumb" }, face(this.teaching, photo)),
        h("span", { class: "note" }, kind),
        h("span", { class: "note" }, speaks),
      );
    });
    this.says.replaceChildren(
      h("p", { class: "big", testid: "spoken" }, words),
      h("p", { class: "note" }, note),
      h("ol", { class: "bars", testid: "answers" }, labels.map(bar)),
      h("p", { class: "note" }, "Most like it, and how much each of them spoke for the first answer:"),
      h("ul", { class: "similar", testid: "similar" }, similar),
    );
  }
}

/** The prediction set in words, where there is one; of few photographs it can leave nothing out. */
function spoken(set, labels, coverage, photos) {
  if (!set) return [`Probably ${labels[0].label}`, "How far that holds is not known of photographs it was trained on."];
  const few = Math.ceil(1 / (1 - coverage) - 1e-9) - 1;
  if (photos >= few) return inWords(set, coverage);
  return [`Probably ${labels[0].label}`, `With fewer than ${few} photographs nothing can be ruled out.`];
}
