/** Many photographs: a row each, what they come to, and a table of them for a spreadsheet. */

import { UNREAD, spoken } from "./answer.js";
import { h, section } from "./dom.js";
import { icon } from "./icons.js";
import { save } from "./save.js";
import { percent, plural } from "./words.js";

const SIDE = 112; // pixels of a small picture

export class Photographs {
  /** `on`: open(photograph), clear(). */
  constructor(about, on) {
    Object.assign(this, { about, on, all: [] });
    this.list = h("ul", { class: "rows", testid: "rows" });
    this.sum = h("p", { class: "lead", role: "status", testid: "sum" });
    const act = (testid, name, words, click) =>
      h("button", { type: "button", class: "plain with-icon", testid, click }, icon(name), words);
    const acts = h(
      "p",
      { class: "acts" },
      act("csv", "save", "Save as a table (CSV)", () => save("predictions.csv", "text/csv", "\ufeff", this.table())),
      act("clear", "bin", "Clear", () => on.clear()),
    );
    this.element = section("photographs", "Your photographs", null, acts, this.sum, this.list);
    this.element.hidden = true;
  }

  add(photograph) {
    this.all.push(photograph);
    photograph.says = h("span", { class: "row-says" }, "waiting");
    photograph.number = h("span", { class: "bar-number" });
    photograph.small = h("canvas", { class: "thumb", width: SIDE, height: SIDE, "aria-hidden": "true" });
    photograph.row = h(
      "button",
      { type: "button", class: "row", testid: "row", "aria-pressed": "false", click: () => this.on.open(photograph) },
      photograph.small,
      h("span", { class: "row-text" }, photograph.says, h("span", { class: "note" }, photograph.name)),
      photograph.number,
    );
    this.list.append(h("li", {}, photograph.row));
    this.element.hidden = false;
  }

  /** The small picture. */
  face({ small }, bitmap) {
    if (!small) return;
    const scale = SIDE / Math.min(bitmap.width, bitmap.height);
    const [width, height] = [bitmap.width * scale, bitmap.height * scale];
    const context = small.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, (SIDE - width) / 2, (SIDE - height) / 2, width, height);
  }

  /** After an answer, or an error. */
  update(photograph) {
    const { answer, error, says, number } = photograph;
    if (says && (answer || error)) {
      says.textContent = error ? UNREAD : spoken(this.about, answer)[0];
      number.textContent = answer && !this.about.several ? percent(answer.ranked[0].probability) : "";
    }
    this.sum.textContent = this.summed();
  }

  mark(chosen) {
    for (const photograph of this.all) photograph.row.setAttribute("aria-pressed", String(photograph === chosen));
  }

  clear() {
    this.all = [];
    this.list.replaceChildren();
    this.element.hidden = true;
  }

  /** "12 photographs: 7 × ants, 5 × bees." */
  summed() {
    const counts = new Map();
    let [waiting, failed] = [0, 0];
    for (const { answer, error } of this.all) {
      if (error) failed++;
      else if (!answer) waiting++;
      else {
        const [words] = spoken(this.about, answer);
        counts.set(words, (counts.get(words) ?? 0) + 1);
      }
    }
    const said = [...counts].sort((a, b) => b[1] - a[1]).map(([words, number]) => `${number} × ${words}`);
    const most = 6;
    if (said.length > most) said.splice(most - 1, said.length, `${said.length - most + 1} other answers`);
    if (failed) said.push(`${failed} cannot be read`);
    if (waiting) said.push(`${waiting} to come`);
    return `${plural(this.all.length, "photograph")}: ${said.join(", ")}.`;
  }

  /** As `vitascope predict --csv`: a row a photograph. */
  table() {
    const { columns, none } = this.about;
    const rows = [columns];
    for (const { name: file, answer, error } of this.all) {
      const row = { file, error: answer ? "" : (error ?? "not looked at yet") };
      if (answer?.set) row.set = answer.set.join("; ") || none;
      for (const [place, { label, probability }] of (answer?.ranked ?? []).entries()) {
        const rank = place ? `_${place + 1}` : "";
        Object.assign(row, { [`label${rank}`]: label, [`probability${rank}`]: probability.toFixed(6) });
      }
      rows.push(columns.map((column) => row[column]));
    }
    return rows.map((row) => `${row.map(quoted).join(",")}\r\n`).join("");
  }
}

function quoted(value = "") {
  const text = String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
