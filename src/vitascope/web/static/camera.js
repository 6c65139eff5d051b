/** The camera: what it sees is tried twice a second, and a picture of it can go into a box. */

import { h } from "./dom.js";
import { icon } from "./icons.js";

const PAUSE = 500; // milliseconds between two pictures
const SIDE = 640; // of a picture, at most

export class Camera {
  /** `frame(file)` tries a picture and ends when that is answered; `add(box, [file])` keeps one, where there are
   * boxes in one of them; `stopped()` hears of the end. */
  constructor({ frame, add, complain, stopped = () => {}, boxes = true }) {
    Object.assign(this, { frame, complain, stopped, on: false, count: 0, turn: 0 });
    this.video = h("video", { class: "tried", muted: true, playsinline: true, testid: "camera-view" });
    this.choice = h("select", { "aria-label": "Box for the picture" });
    const keep = h(
      "button",
      {
        type: "button",
        class: "plain",
        testid: "keep",
        click: async () => add(this.choice.value, [await this.take()]),
      },
      boxes ? "Put this picture into" : "Keep this picture",
    );
    const acts = h("p", { class: "acts" }, keep, boxes ? this.choice : null);
    this.element = h("div", { class: "camera hidden" }, this.video, acts);
    this.words = h("span", {}, "Camera");
    this.button = h(
      "button",
      { type: "button", class: "plain with-icon", testid: "camera", click: () => (this.on ? this.stop() : this.start()) },
      icon("camera"),
      this.words,
    );
    this.button.hidden = !navigator.mediaDevices; // browsers give it to pages of this machine and of https alone
  }

  boxes(names) {
    const before = this.choice.value;
    this.choice.replaceChildren(...names.map((name) => h("option", { value: name }, name)));
    if (names.includes(before)) this.choice.value = before;
  }

  async start() {
    const turn = ++this.turn; // whoever presses twice, or stops meanwhile, leaves no camera running
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      if (turn !== this.turn) return end(stream);
      this.stream = this.video.srcObject = stream;
      await this.video.play();
    } catch (error) {
      end(stream);
      if (turn !== this.turn) return;
      const why = error.name === "NotAllowedError" ? "The browser does not allow it." : "There is none that can be used.";
      return this.complain(`The camera cannot be shown. ${why}`);
    }
    if (turn !== this.turn) return end(stream);
    this.show(true);
    while (turn === this.turn) {
      const picture = await this.take();
      if (turn === this.turn) await this.frame(picture);
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
    }
  }

  stop() {
    this.turn++;
    if (!this.on) return;
    end(this.stream);
    this.video.srcObject = null;
    this.show(false);
    this.stopped();
  }

  show(on) {
    this.on = on;
    this.element.classList.toggle("hidden", !on);
    this.words.textContent = on ? "Stop the camera" : "Camera";
  }

  /** What it sees now, as a file. */
  async take() {
    const { videoWidth: width, videoHeight: height } = this.video;
    const scale = Math.min(1, SIDE / Math.max(width, height));
    const canvas = h("canvas", { width: Math.round(width * scale), height: Math.round(height * scale) });
    canvas.getContext("2d").drawImage(this.video, 0, 0, canvas.width, canvas.height);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92));
    this.count += 1;
    return new File([blob], `camera-${Date.now()}-${this.count}.jpg`, { type: "image/jpeg" });
  }
}

function end(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}
