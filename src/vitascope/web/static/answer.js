/** What the model says of one photograph: in words, and as bars. */

import { h } from "./dom.js";
import { bar } from "./predictions.js";
import { inWords } from "./words.js";

export const UNREAD = "Cannot be read";
const LIKELY = 0.5; // from which a label of several is named where nothing was calibrated

/** {ranked: [{label, index, probability, inSet}] the best first, set: [label] | null, named: [label] of several} of what
 * the model gave. */
export function understood({ labels, top, several }, { probabilities, set }) {
  const all = Array.from(probabilities, (probability, index) => ({
    label: labels[index],
    index,
    probability,
    inSet: set ? set[index] === 1 : null,
  }));
  const members = set ? all.filter(({ inSet }) => inSet).map(({ label }) => label) : null;
  const ranked = all.sort((a, b) => b.probability - a.probability);
  const likely = ranked.filter(({ probability }) => several && probability >= LIKELY);
  return { ranked: ranked.slice(0, top), set: members, named: members ?? likely.map(({ label }) => label) };
}

/** [what it says, how far that holds]. */
export function spoken({ several, coverage }, { ranked, set, named }) {
  if (several) {
    const note = set ? `Of what is there, at least ${Math.round(100 * coverage)} of 100 are among these.` : "";
    return [named.join(", ") || "None of these", note];
  }
  if (set) return inWords(set, coverage);
  return [ranked[0].label, ""];
}

export class Said {
  constructor(about) {
    this.about = about;
    this.element = h("section", { class: "answer", role: "status", "aria-label": "Answer", testid: "answer" });
  }

  /** In place of an answer. */
  say(words) {
    this.element.replaceChildren(h("p", { class: "note" }, words));
  }

  /** Of a photograph that cannot be read: why. */
  fail(why) {
    this.element.replaceChildren(h("p", { class: "big", testid: "spoken" }, UNREAD), h("p", { class: "note" }, why));
  }

  show(answer) {
    const [words, note] = spoken(this.about, answer);
    this.element.replaceChildren(
      h("p", { class: "big", testid: "spoken" }, words),
      h("ol", { class: "bars", testid: "bars" }, answer.ranked.map(bar)),
      h("p", { class: "note" }, note),
    );
  }
}
