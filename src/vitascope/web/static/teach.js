/** The page for teaching: boxes, what came of them, trying it, and the run to take away. */

import { taught } from "./archive.js";
import { Attempt } from "./attempt.js";
import { Boxes } from "./boxes.js";
import { h } from "./dom.js";
import { isImage, leftOut, target } from "./dropped.js";
import { icon, logo } from "./icons.js";
import { Notice } from "./notice.js";
import { tabs } from "./tabs.js";
import { Teaching } from "./teaching.js";
import { Verdict } from "./verdict.js";
import { plural } from "./words.js";

const page = document.getElementById("page");

class Page {
  constructor() {
    this.teaching = new Teaching();
    this.notice = new Notice();
    this.working = 0;
    const act = (id, words, picture, does) =>
      h("button", { type: "button", class: "plain with-icon", testid: id, click: does }, icon(picture), words);
    const input = h("input", {
      type: "file",
      accept: ".zip,.safetensors,.json",
      multiple: true,
      class: "unseen",
      tabindex: -1,
      testid: "run-file",
      "aria-hidden": "true",
      change: () => {
        const files = [...input.files];
        input.value = "";
        this.do(async () => this.teaching.load(...(await taught(files))));
      },
    });
    this.undo = act("undo", "Undo", "undo", () => this.change({ undo: true }));
    this.save = h("a", { class: "plain with-icon", testid: "save", download: "taught.zip" }, icon("save"), "Save");
    const load = act("load", "Open", "open", () => input.click());
    this.boxes = new Boxes(this.teaching, {
      add: (name, files) => this.add([[name, files]]),
      spread: (found) => this.spread(found),
      rename: (from, to) => this.change({ rename: from, to }),
      forget: (name) => this.change({ forget_class: name }),
      taken: (name) => this.notice.show(`There is a box “${name}” already.`),
      choose: () => this.choose(),
    });
    this.verdict = new Verdict(this.teaching, {
      move: (move, to) => this.change({ move, to }),
      forget: (forget) => this.change({ forget }),
    });
    this.attempt = new Attempt(this.teaching, {
      complain: (words) => this.notice.show(words),
      add: (name, files) => this.add([[name, files]]),
    });
    this.to = h("select", { "aria-label": "Box to move them to", testid: "move-to" });
    this.chosen = h("p", { role: "status" });
    const places = () => [...this.boxes.chosen];
    this.bar = h(
      "div",
      { class: "chosen hidden", testid: "chosen" },
      this.chosen,
      h(
        "button",
        { type: "button", class: "plain", testid: "move", click: () => this.change({ move: places(), to: this.to.value }) },
        "Move to",
      ),
      this.to,
      h(
        "button",
        { type: "button", class: "plain", testid: "take-out", click: () => this.change({ forget: places() }) },
        "Take out",
      ),
      h("button", { type: "button", class: "plain", click: () => this.update() }, "Cancel"),
    );
    this.waiting = h("p", { class: "waiting", role: "status" }, "Reading the model …");
    this.body = h(
      "div",
      { class: "teach hidden" },
      h(
        "header",
        { class: "teach-head" },
        h("h1", {}, "Teach it to tell your photographs apart"),
        h(
          "p",
          { class: "lead" },
          "A box for each kind of thing, a few photographs into each: that is all. It learns at once, tells how good " +
            "it is, and says “none of these” where nothing fits. The photographs go to the computer that runs this " +
            "page and to nobody else; it forgets them when they are no longer used.",
        ),
      ),
      this.boxes.element,
      h("div", { class: "teach-side" }, this.verdict.element, this.attempt.element, this.verdict.suspects),
      h(
        "p",
        { class: "note teach-foot" },
        "What is saved is an ordinary model: unzip it, then ",
        h("code", {}, "vitascope predict taught photo.jpg"),
        " answers as this page does, ",
        h("code", {}, "vitascope teach taught MORE --out two"),
        " goes on with it, and “Open” shows it here again.",
      ),
    );
    const header = h(
      "header",
      { class: "pick" },
      h("p", { class: "brand" }, logo(), "Vitascope"),
      tabs("teach"),
      h("div", { class: "acts teach-acts" }, this.undo, this.save, load, input),
    );
    page.replaceChildren(header, this.notice.element, this.waiting, this.body, this.bar);
    target(document.body, (found) => this.spread(found));
  }

  async start() {
    try {
      await this.teaching.open((words) => (this.waiting.textContent = words));
      this.waiting.remove();
      this.body.classList.remove("hidden");
      await this.do(() => null);
    } catch (error) {
      this.waiting.remove();
      this.notice.show(error.message, () => new Page().start());
    }
  }

  change(asked) {
    return this.do(() => this.teaching.change(asked));
  }

  /** Files of folders into the boxes named so; others have no place. */
  spread(found) {
    const boxes = new Map();
    for (const { file, folder } of found) {
      const name = folder?.trim() || this.boxes.vacant();
      boxes.set(name, [...(boxes.get(name) ?? []), file]);
    }
    return this.add([...boxes]);
  }

  /** [[name of a box, files], …], then one lesson of them all. */
  add(drops) {
    const wanted = drops.map(([name, files]) => [name, files.filter(isImage)]).filter(([, files]) => files.length);
    const number = (of) => of.reduce((sum, [, files]) => sum + files.length, 0);
    const others = number(drops) - number(wanted);
    if (!wanted.length) return this.notice.show("There is no photograph among these files.");
    return this.do(async () => {
      const refused = [];
      let again = 0;
      for (const [name, files] of wanted) {
        const box = this.boxes.open(name);
        box.say(`0 of ${files.length} …`);
        const came = await this.teaching.add(name, files, (done, all) => {
          this.boxes.update();
          if (done < all) box.say(`${done} of ${all} …`);
        });
        refused.push(...came.refused);
        again += came.again;
      }
      const told = [];
      if (refused.length) told.push(`${refused[0].name}: ${refused[0].why}`);
      if (refused.length > 1) told.push(`and ${plural(refused.length - 1, "other")} left out`);
      if (others) told.push(leftOut(others));
      if (again) told.push(`${plural(again, "photograph")} known already`);
      if (told.length) this.notice.show(`${told.join("; ").replace(/\.$/, "")}.`);
    });
  }

  /** Does something to what was taught, shows what came of it, and solves again. */
  async do(work) {
    this.notice.hide();
    this.working += 1;
    page.setAttribute("aria-busy", "true");
    try {
      await work();
      await this.learn();
    } catch (error) {
      this.notice.show(error.message);
      if (error.status === 404) await this.teaching.open().then(() => this.learn());
    } finally {
      this.update();
      this.working -= 1;
      if (!this.working) page.removeAttribute("aria-busy");
    }
  }

  async learn() {
    this.update();
    const lesson = await this.teaching.lesson();
    if (lesson && lesson.version !== this.teaching.state.version) return; // the next change asks again
    this.verdict.show(lesson);
    this.attempt.ready(lesson !== null, [...this.boxes.boxes.keys()]);
    if (lesson) this.save.href = this.teaching.run;
    else this.save.removeAttribute("href");
    this.save.setAttribute("aria-disabled", String(!lesson));
  }

  update() {
    this.boxes.update();
    this.undo.disabled = !this.teaching.state.undo;
    this.choose();
  }

  choose() {
    const count = this.boxes.chosen.size;
    this.bar.classList.toggle("hidden", !count);
    this.chosen.textContent = `${plural(count, "photograph")} chosen`;
    if (!count) return;
    const before = this.to.value;
    const names = [...this.boxes.boxes.keys()];
    this.to.replaceChildren(...names.map((name) => h("option", { value: name }, name)));
    if (names.includes(before)) this.to.value = before;
  }
}

new Page().start();
