/** What went wrong, in words, with a way on. */

import { h } from "./dom.js";
import { icon } from "./icons.js";

export class Notice {
  constructor() {
    this.words = h("p", { testid: "notice-says" });
    this.again = h("button", { type: "button", class: "plain", testid: "again" }, "Try again");
    this.again.addEventListener("click", () => {
      this.hide();
      this.retry();
    });
    const close = h(
      "button",
      { type: "button", class: "icon-button", "aria-label": "Close this message", click: () => this.hide() },
      icon("close"),
    );
    this.element = h("div", { class: "notice hidden", role: "alert", testid: "notice" }, this.words, this.again, close);
  }

  /** Shows the words; with `retry` a button that tries again. */
  show(words, retry) {
    this.words.textContent = words;
    this.retry = retry;
    this.again.hidden = !retry;
    this.element.classList.remove("hidden");
  }

  hide() {
    this.element.classList.add("hidden");
  }
}
