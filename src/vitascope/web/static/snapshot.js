/** Where the page's data comes from when it is a file: JSON in the page itself, each layer read only when asked for. */

import { SourceError } from "./source.js";

const read = (id) => {
  const element = document.getElementById(id);
  if (!element) throw new SourceError("This file is incomplete: write it again with vitascope inspect.");
  return JSON.parse(element.textContent);
};

/** One or more models and the images they looked at; `data-model-0`, `data-look-0-0` and `data-layer-0-0-0` hold them,
 * `data-compared` how several compare. */
export class Snapshot {
  static present() {
    return document.getElementById("data-model-0") !== null;
  }

  constructor() {
    this.takesFiles = false;
    this.compared = document.getElementById("data-compared") ? read("data-compared") : null;
  }

  async models() {
    const models = [];
    while (document.getElementById(`data-model-${models.length}`)) models.push(read(`data-model-${models.length}`));
    this.count = models.length;
    this.depths = models.map((model) => model.layers);
    this.examples = [];
    while (document.getElementById(`data-look-0-${this.examples.length}`)) {
      const { id, name, image } = read(`data-look-0-${this.examples.length}`);
      this.examples.push({ id, name, thumbnail: image });
    }
    return models;
  }

  /** The same image as each model saw it. */
  async looks({ id }) {
    const image = this.examples.findIndex((example) => example.id === id);
    if (image < 0) throw new SourceError("The image of this link is not in this file. Choose one of its images.", 404);
    return Array.from({ length: this.count }, (_, model) => ({
      ...read(`data-look-${model}-${image}`),
      image_index: image,
    }));
  }

  async layer(model, look, layer) {
    const id = `data-layer-${model}-${look.image_index}-${layer}`;
    if (document.getElementById(id)) return read(id);
    const here = this.held(model, look.image_index);
    if (here.length) {
      const layers = here.map((n) => n + 1).join(", ");
      throw new SourceError(`To stay small, this file holds layers ${layers} of this image. Use vitascope serve for all.`, 410);
    }
    throw new SourceError(
      this.held(model, 0).length
        ? "To stay small, this file holds the heads of its first images only. Choose one of them, or use vitascope serve."
        : "To stay small, this file does not hold the heads of a model this large. Use vitascope serve.",
      410,
    );
  }

  /** The layers of an image that are in this file, from 0. */
  held(model, image) {
    const all = Array.from({ length: this.depths[model] }, (_, layer) => layer);
    return all.filter((layer) => document.getElementById(`data-layer-${model}-${image}-${layer}`));
  }
}
