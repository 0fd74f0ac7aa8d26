// Creates elements without HTML: every text is inserted as text.

// Characters that do something else than to be seen: control characters, and those that change the direction of writing
// or have no width. The compiler's `printable` escapes the same ones.
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/gu;

function printable(words, keepsLines) {
  return words.replace(UNSEEN, (character) => {
    if (character === "\n") return keepsLines ? character : "\\n";
    return `\\u{${character.codePointAt(0).toString(16)}}`;
  });
}

function fill(element, attributes, children) {
  for (const name in attributes) {
    const value = attributes[name];
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else element.setAttribute(name, typeof value === "string" ? printable(value) : value);
  }
  for (const child of children.flat(Infinity)) {
    if (typeof child === "string") element.append(printable(child, element.localName === "pre"));
    else if (child !== null && child !== undefined && child !== false) element.append(child);
  }
  return element;
}

function el(name, attributes, ...children) {
  return fill(document.createElement(name), attributes, children);
}

function svg(name, attributes, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function byId(id) {
  return document.getElementById(id);
}

function plural(count, word, many) {
  return `${count.toLocaleString("en")} ${count === 1 ? word : (many ?? `${word}s`)}`;
}

// The sign of an action, with a word for screen readers.
function sign(action) {
  return el("span", { class: `sign ${ACTIONS[action]}`, title: DONE[action] },
    el("span", { "aria-hidden": "true" }, SIGNS[action]), el("span", { class: "unseen" }, DONE[action]));
}

// The numbers of each action.
function counts(summary) {
  const some = summary.slice(0, 4).map((count, action) => count > 0 &&
    el("span", { class: ACTIONS[action] },
      el("span", { "aria-hidden": "true" }, `${SIGNS[action]}${count}`),
      el("span", { class: "unseen" }, `${count} ${DONE[action]} `)));
  return el("span", { class: "counts" }, some);
}

function warningMark(title) {
  return el("span", { class: "flag", title }, el("span", { "aria-hidden": "true" }, "▲"), el("span", { class: "unseen" }, title));
}
