/** How good the lesson is, which photographs are probably in the wrong box, and what more of them would bring. */

import { face } from "./boxes.js";
import { h, section } from "./dom.js";
import { percent, plural } from "./words.js";

const SUSPECTS = 6; // shown at a time

export class Verdict {
  /** `on`: move(places, name), forget(places). */
  constructor(teaching, on) {
    Object.assign(this, { teaching, on, right: new Set() });
    this.body = h("div", { class: "verdict", role: "status", testid: "verdict" });
    this.element = section("how-good", "How good is it?", null, null, this.body);
    this.list = h("ul", { class: "suspects", testid: "suspects" });
    this.suspects = section(
      "in-the-wrong-box",
      "In the wrong box?",
      "The other photographs speak against where these lie. You decide.",
      null,
      this.list,
    );
    this.show(null);
  }

  say(words) {
    this.body.replaceChildren(h("p", { class: "note" }, words));
  }

  /** A lesson, or null while there is nothing to tell apart. */
  show(lesson) {
    this.lesson = lesson;
    this.suspects.hidden = true;
    if (!lesson)
      return this.say("Put photographs into two boxes or more. Five in each are a beginning, thirty are good.");
    const [low, high] = lesson.interval;
    const share = h("p", { class: "big", testid: "top1" }, percent(lesson.top1));
    const expected = lesson.trained_on
      ? `The model was trained on ${lesson.trained_on} of them before, which flatters it: try it on others.`
      : `For new ones like these expect ${percent(low)} to ${percent(high)}.`;
    const baseline = `Always saying “${lesson.baseline.class}” would be right in ${percent(lesson.baseline.top1)}.`;
    this.body.replaceChildren(
      share,
      h("p", {}, "of your photographs are recognised, each by what the others taught."),
      h("p", { class: "note", testid: "interval" }, `${expected} ${baseline}`),
      h("ul", { class: "bars settled", testid: "per-class" }, Object.entries(lesson.per_class).map(ofClass)),
      ...foretold(lesson),
    );
    this.listSuspects();
  }

  listSuspects() {
    const { photos, classes } = this.teaching.state;
    const left = this.lesson.suspects.filter(({ place }) => !this.right.has(key(photos[place])));
    this.suspects.hidden = left.length === 0;
    this.list.replaceChildren(
      ...left.slice(0, SUSPECTS).map((suspect) => this.suspect(suspect, photos[suspect.place], classes)),
    );
    if (left.length > SUSPECTS)
      this.list.append(h("li", { class: "note" }, `and ${plural(left.length - SUSPECTS, "other")} like them`));
  }

  suspect({ place, looks_like: other, wrong }, photo, classes) {
    const own = classes[photo.class];
    const act = (words, does, label) =>
      h("button", { type: "button", class: "plain", "aria-label": label, click: does }, words);
    return h(
      "li",
      { class: "suspect", testid: "suspect" },
      h("span", { class: "thumb" }, face(this.teaching, photo)),
      h(
        "div",
        {},
        h("p", {}, "In ", h("b", {}, own), ", looks like ", h("b", {}, other), "."),
        h("p", { class: "note" }, `${photo.name} · wrong with a probability of ${percent(wrong)}`),
        h(
          "p",
          { class: "acts" },
          act(`Move to ${other}`, () => this.on.move([place], other), `Move ${photo.name} to ${other}`),
          act("Take out", () => this.on.forget([place]), `Take ${photo.name} out`),
          act("It is right", () => this.agree(photo), `${photo.name} is right where it is`),
        ),
      ),
    );
  }

  agree(photo) {
    this.right.add(key(photo));
    this.listSuspects();
  }
}

function key(photo) {
  return `${photo.picture ?? photo.name}|${photo.class}`;
}

function ofClass([name, { images, top1 }]) {
  const filled = h("i", {});
  filled.style.width = `${top1 * 100}%`;
  const label = h("span", { class: "bar-label" }, name);
  label.title = name;
  return h(
    "li",
    {},
    label,
    h("span", { class: "bar" }, filled),
    h("span", { class: "bar-number" }, `${Math.round(top1 * images)} of ${images}`),
  );
}

function foretold({ forecast, gains }) {
  if (!forecast.length) return [];
  const { images, top1, interval } = forecast[0];
  const range = `${percent(interval[0])} to ${percent(interval[1])}`;
  const [best, gain] = Object.entries(gains).sort((a, b) => b[1] - a[1])[0] ?? ["", 0];
  const where = gain >= 0.005 ? ` More of “${best}” would help most.` : "";
  return [
    h(
      "p",
      { class: "note", testid: "forecast" },
      `With ${images} photographs, twice as many, about ${percent(top1)} (${range}).${where}`,
    ),
  ];
}
