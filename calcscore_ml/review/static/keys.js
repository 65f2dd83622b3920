// Everything works by keys: one table says which there are, the page's help is made of it.

import { accept, label, undo, warn } from "./deciding.js";
import { byId, make, say } from "./dom.js";
import { filter, step } from "./queue.js";
import { session, tell } from "./session.js";
import { drop, take } from "./tools.js";
import { turnHeart } from "./heart.js";
import { openNote } from "./notes.js";
import { active, centreOnLesion, fitOrClose } from "./stage.js";
import { openAgreement } from "./agreement.js";
import { openExport } from "./exports.js";

const PAGE = 5;
const PAN = 40;

export const acts = {
  accept,
  undo,
  next: () => step(1),
  previous: () => step(-1),
  split: () => take("split"),
  exclude: () => take("exclude"),
  add: () => take("add"),
  note: openNote,
  "zoom-in": () => active().zoom(1),
  "zoom-out": () => active().zoom(-1),
  fit: fitOrClose,
  overlay: () => toggle("overlay"),
  heart: turnHeart,
};

function toggle(what) {
  session[what] = !session[what];
  tell(what);
}

export function setWindow(name) {
  session.window = name;
  tell("window");
}

function labelOrTool(number) {
  if (session.tool?.label) return session.tool.label(number);
  if (session.tool) return warn("Apply or cancel the tool first.");
  return label(number);
}

const withoutTool = (act) => () => (session.tool ? warn("Apply or cancel the tool first.") : act());

// [keys, group, what it does, act]; a key is its name, with Shift+ or Ctrl+ before it where that matters.
export const TABLE = [
  [["1", "2", "3", "4", "5", "6", "7", "0"], "Decide", "LAD, LCX, RCA, LM, aorta, aortic valve, mitral valve, other", (key) => labelOrTool(Number(key))],
  [[" "], "Decide", "accept what the model says (or the readings agree on)", withoutTool(accept)],
  [["u"], "Decide", "undo your last decision", withoutTool(undo)],
  [["n"], "Queue", "next lesion", acts.next],
  [["p"], "Queue", "previous lesion", acts.previous],
  [["v"], "Queue", "pending lesions, or all", () => filter(session.filter === "all" ? "pending" : "all")],
  [["s"], "Tools", "split the lesion", acts.split],
  [["e"], "Tools", "exclude voxels", acts.exclude],
  [["a"], "Tools", "add a lesion", acts.add],
  [["t"], "Tools", "note on the lesion", acts.note],
  [["Enter"], "Tools", "use the tool at the crosshair", () => session.tool?.at(active(), session.cursor, "key")],
  [["y"], "Tools", "apply what the tool shows", () => session.tool?.apply()],
  [["r"], "Tools", "while splitting: by the nearest artery; otherwise back to the lesion", () => (session.tool?.second ? session.tool.second() : centreOnLesion())],
  [["[", "]"], "Tools", "smaller or larger brush", (key) => session.tool?.key?.(key)],
  [["Escape"], "Tools", "cancel the tool, hide the crosshair", () => (session.tool ? drop() : session.crosshair && toggle("crosshair"))],
  [["ArrowUp", "ArrowDown"], "View", "through the slices; with the crosshair: move it", (key) => arrow(key)],
  [["ArrowLeft", "ArrowRight"], "View", "with the crosshair: move it", (key) => arrow(key)],
  [["Ctrl+ArrowUp", "Ctrl+ArrowDown", "Ctrl+ArrowLeft", "Ctrl+ArrowRight"], "View", "move the crosshair by five", (key) => arrow(key.slice(5), PAGE)],
  [["PageUp", "PageDown"], "View", "one slice with the crosshair, five without", (key) => page(key)],
  [["Shift+ArrowUp", "Shift+ArrowDown", "Shift+ArrowLeft", "Shift+ArrowRight"], "View", "move the picture", (key) => panBy(key)],
  [["+", "="], "View", "zoom in", acts["zoom-in"]],
  [["-"], "View", "zoom out", acts["zoom-out"]],
  [["f"], "View", "the whole slice, or close", acts.fit],
  [["x"], "View", "crosshair", () => toggle("crosshair")],
  [["c"], "View", "window: calcium", () => setWindow("calcium")],
  [["m"], "View", "window: mediastinum", () => setWindow("mediastinum")],
  [["l"], "View", "window: lung", () => setWindow("lung")],
  [["b"], "View", "window: bone", () => setWindow("bone")],
  [["o"], "View", "outlines", acts.overlay],
  [["h"], "View", "turn the heart", acts.heart],
  [["g"], "More", "agreement of the readings", openAgreement],
  [["d"], "More", "export", openExport],
  [["?"], "More", "these keys", openKeys],
];

const byKey = new Map(TABLE.flatMap(([keys, , , act]) => keys.map((key) => [key, act])));

function arrow(key, by = 1) {
  const view = active();
  const [right, down] = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] }[key];
  if (session.tool || session.crosshair) view.move(right * by, down * by);
  else if (down) view.scroll(-down);
}

function page(key) {
  const slices = session.tool || session.crosshair ? 1 : PAGE;
  active().scroll(key === "PageUp" ? slices : -slices);
}

function panBy(key) {
  const [right, down] = { Up: [0, -1], Down: [0, 1], Left: [-1, 0], Right: [1, 0] }[key.slice(11)];
  active().pan(right * PAN, down * PAN);
}

export function startKeys() {
  document.addEventListener("keydown", press);
  byId("open-keys").addEventListener("click", openKeys);
  for (const button of document.querySelectorAll("[data-do]")) {
    if (button.id !== "accept") button.addEventListener("click", () => acts[button.dataset.do]());
  }
}

function press(event) {
  if (event.defaultPrevented || event.altKey || event.metaKey || event.isComposing) return;
  if (document.querySelector("dialog[open]")) return;
  const target = event.target.closest("button, a, textarea, input, select");
  if (target && ["Enter", " "].includes(event.key)) return; // they press the button
  if (target?.matches("textarea, input, select")) return;
  const special = event.key.startsWith("Arrow");
  if (event.ctrlKey && !special) return;
  if (special && event.target.closest(".facts-scroll")) return; // it scrolls
  const name = `${event.ctrlKey ? "Ctrl+" : ""}${event.shiftKey && special ? "Shift+" : ""}${event.key.length === 1 ? event.key.toLowerCase() : event.key}`;
  const act = byKey.get(name);
  if (!act || !session.start) return;
  event.preventDefault();
  say("warning", "");
  if (event.repeat && !special && !["PageUp", "PageDown", "+", "-", "="].includes(event.key)) return; // held too long
  if (!session.scan && !["?", "d", "g"].includes(name)) return;
  act(name);
}

function openKeys() {
  const groups = new Map();
  for (const [keys, group, what] of TABLE) {
    if (!groups.has(group)) groups.set(group, []);
    const shown = keys.length > 4 && keys[0] === "1" ? ["1", "…", "7", "0"] : keys.map(readable);
    groups.get(group).push(make("div", {}, make("dt", {}, ...join(shown)), make("dd", {}, what)));
  }
  const blocks = [...groups].map(([group, rows]) => make("section", {}, make("h3", {}, group), make("dl", {}, ...rows)));
  byId("keys-list").replaceChildren(...blocks);
  byId("keys").showModal();
}

const SIGNS = { ArrowUp: "↑", ArrowDown: "↓", ArrowLeft: "←", ArrowRight: "→", " ": "Space", Escape: "Esc", PageUp: "PgUp", PageDown: "PgDn" };

function readable(key) {
  const [last, ...before] = key === "+" ? ["+"] : key.split("+").reverse();
  return [...before.reverse(), SIGNS[last] || last].join(" ");
}

function join(shown) {
  const short = shown.length === 4 && shown[0].includes(" ") ? [shown[0].replace("↑", "arrows")] : shown;
  return short.flatMap((key) => (key === "…" ? ["…"] : [make("kbd", {}, key)]));
}
