/** Elements, made without any HTML text: what people named files and classes can only ever become text. */

const SVG = "http://www.w3.org/2000/svg";

/** An element. `testid` becomes data-testid, functions become listeners, other attributes are set as they are. */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else if (name === "testid") element.dataset.testid = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** A section: heading, one sentence of what is seen, a place beside the heading, then its content. */
export function section(id, title, sentence, beside, ...content) {
  return h(
    "section",
    { id, testid: id, class: "section", "aria-label": title },
    h("header", { class: "section-head" }, h("h2", {}, title), beside),
    sentence ? h("p", { class: "lead" }, sentence) : null,
    ...content,
  );
}

/** Radio buttons in a row. `options`: [[value, label], …]; `pick` is called with the value. */
export function segmented(name, label, options, pick) {
  const group = `${name}-${(segmented.count = (segmented.count ?? 0) + 1)}`;
  const inputs = new Map();
  const element = h("fieldset", { class: "segmented", testid: name }, h("legend", { class: "unseen" }, label));
  for (const [value, text] of options) {
    const input = h("input", {
      type: "radio",
      name: group,
      value,
      testid: `${name}-${value}`,
      change: () => pick(value),
    });
    inputs.set(value, input);
    element.append(h("label", {}, input, h("span", {}, text)));
  }
  const set = (value) => {
    if (inputs.has(value)) inputs.get(value).checked = true;
  };
  const enable = (value, possible) => {
    inputs.get(value).disabled = !possible;
  };
  return { element, set, enable };
}

/** Whether a and b are the same list of things; for drawing only what changed. */
export function same(a, b) {
  return Boolean(a) && a.length === b.length && a.every((value, i) => Object.is(value, b[i]));
}

/** `draw` wrapped so that it runs only when the list given to it differs from the last one. */
export function whenChanged(draw) {
  let last = null;
  return (...things) => {
    if (same(last, things)) return;
    last = things;
    draw(...things);
  };
}
