// Elements of the page. Text is always set as text, so nothing that comes from a scan or a note can be markup.

export const byId = (id) => document.getElementById(id);

// Make an element: attributes by name, "on..." as listeners, children as elements or text.
export function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "colour") node.style.setProperty("--colour", value);
    else if (name === "share") node.style.setProperty("--share", String(value));
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export function say(id, text) {
  const node = byId(id);
  if (node.textContent !== text) node.textContent = text;
}

export const number = (value, digits = 0) => (value === null || value === undefined ? "–" : value.toFixed(digits));
export const percent = (share) => (share === null || share === undefined ? "–" : `${Math.round(share * 100)} %`);

// Spoken by screen readers, seen by nobody.
export function speak(text) {
  const node = byId("spoken");
  node.textContent = "";
  requestAnimationFrame(() => { node.textContent = text; });
}
