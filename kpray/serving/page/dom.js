// Making elements. Text goes into text nodes and values into attributes; nothing is ever parsed as markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

const el = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);
const byId = (id) => document.getElementById(id);
const number = (value) => value.toLocaleString("en");
const counted = (count, one, many) => `${number(count)} ${count === 1 ? one : many}`;
const words = (name) => name.replaceAll("_", " ");
const seconds = (value) => (value < 9.95 ? `${value.toFixed(1)} s` : `${Math.round(value)} s`);
const bytes = (count) => (count < 1e6 ? `${Math.ceil(count / 1e3)} kB` : `${(count / 1e6).toFixed(1)} MB`);

function notice(said) {
  byId("notice").hidden = !said;
  byId("notice-text").textContent = said;
}

// A page may not be allowed to remember things; then what it was told lasts as long as the page.
const remembered = { local: {}, session: {} };

function recall(kind, name) {
  try {
    return window[`${kind}Storage`].getItem(name) ?? remembered[kind][name] ?? "";
  } catch {
    return remembered[kind][name] ?? "";
  }
}

function remember(kind, name, value) {
  remembered[kind][name] = value;
  try {
    window[`${kind}Storage`].setItem(name, value);
  } catch {
    // It is remembered above.
  }
}
