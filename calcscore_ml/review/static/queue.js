// The queue: which lesions there are in all scans, which one is shown, and which comes next.

import { get } from "./api.js";
import { byId, make, number, say } from "./dom.js";
import { Shape } from "./outlines.js";
import { labelOf, on, session, tell } from "./session.js";

const told = new Map(); // what was told of each scan, as long as its version stands
let opening = 0;

export const same = (a, b) => a && b && a.scan === b.scan && a.key === b.key;
export const current = () => ({ scan: session.scan?.scan, key: session.key });

export async function loadQueue() {
  session.queue = await get("/api/queue");
  for (const scan of session.queue.scans) {
    if (told.get(scan.scan)?.version !== scan.version) told.delete(scan.scan);
  }
  tell("queue");
}

export async function fetchScan(scan) {
  const version = session.queue.scans.find((found) => found.scan === scan)?.version;
  if (told.get(scan)?.version !== version) told.set(scan, await get("/api/scan", { scan }));
  return told.get(scan);
}

// Take what the server told of a scan; its outlines are asked for again when voxels changed hands.
export async function takeScan(found) {
  told.set(found.scan, found);
  patchQueue(found);
  if (session.scan?.scan === found.scan) {
    await showScan(found);
    if (!found.lesions.some((lesion) => lesion.key === session.key)) {
      session.key = found.lesions.find((lesion) => lesion.key.startsWith(`${session.key}.`))?.key || null;
    }
    tell("scan");
    tell("lesion");
  }
  tell("queue");
}

async function showScan(found) {
  const known = session.scan?.scan === found.scan && session.scan.shapes === found.shapes && session.shapes;
  let { shapes } = session;
  if (!known) {
    const voxels = await get("/api/voxels", { scan: found.scan }, { cache: "no-store" });
    shapes = new Map(Object.entries(voxels.lesions).map(([key, l]) => [key, new Shape(l.voxels, l.excluded)]));
  }
  session.scan = found;
  session.shapes = shapes;
}

function patchQueue(found) {
  const scan = session.queue.scans.findIndex((entry) => entry.scan === found.scan);
  if (scan >= 0) session.queue.scans[scan] = { ...session.queue.scans[scan], ...pick(found) };
  const now = new Map(found.lesions.map((lesion) => [lesion.key, lesion]));
  for (const entry of session.queue.lesions) {
    if (entry.scan !== found.scan || !now.has(entry.key)) continue;
    const { label, effect, pending, decided } = now.get(entry.key);
    Object.assign(entry, { label, effect, decided, pending: pending || (entry.differs && !decided) });
  }
}

const pick = ({ version, headline, valid, agatston, lowest, highest, category, pending, asked, decided }) => ({
  version, headline, valid, agatston, lowest, highest, category, pending, asked, decided,
});

// Show a lesion; of two that are opened in turn the later one stays.
export async function open(scan, key) {
  opening += 1;
  say("warning", "");
  const mine = opening;
  say("loading", session.scan?.scan === scan ? "" : "Loading the scan…");
  const found = await fetchScan(scan);
  if (mine !== opening) return;
  const other = session.scan?.scan !== scan;
  await showScan(found);
  if (mine !== opening) return;
  session.key = found.lesions.some((lesion) => lesion.key === key) ? key : found.lesions[0]?.key || null;
  say("loading", "");
  if (other) tell("scan");
  tell("lesion");
  tell("opened");
}

export function listed() {
  return session.queue.lesions.filter((entry) => session.filter === "all" || entry.pending || same(entry, current()));
}

export function step(by) {
  const rows = listed();
  if (!rows.length) return Promise.resolve();
  const at = rows.findIndex((entry) => same(entry, current()));
  const to = rows[(at < 0 ? 0 : at + by + rows.length) % rows.length];
  return open(to.scan, to.key);
}

// The pending lesion that comes after one, the first when there is none behind it.
export function pendingAfter(place) {
  const { lesions } = session.queue;
  const at = lesions.findIndex((entry) => same(entry, place));
  const later = [...lesions.slice(at + 1), ...lesions.slice(0, Math.max(at, 0))];
  return later.find((entry) => entry.pending) || null;
}

export function startQueue() {
  byId("filter-pending").addEventListener("click", () => filter("pending"));
  byId("filter-all").addEventListener("click", () => filter("all"));
  byId("lesions").addEventListener("keydown", walk);
  byId("scans").addEventListener("keydown", walk);
  on("queue lesion", draw);
}

export function filter(which) {
  session.filter = which;
  draw();
}

// Up and down go through a list; only one of its rows is on the way of the tabulator.
function walk(event) {
  if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
  event.preventDefault();
  event.stopPropagation();
  const rows = [...event.currentTarget.querySelectorAll("button")];
  const at = rows.indexOf(document.activeElement);
  rows[Math.min(rows.length - 1, Math.max(0, at + (event.key === "ArrowDown" ? 1 : -1)))]?.focus();
}

function draw() {
  const { scans, lesions } = session.queue;
  const wanted = lesions.filter((entry) => entry.referred || entry.differs);
  const asked = wanted.length;
  const decided = wanted.filter((entry) => entry.decided).length;
  say("progress-text", asked ? `${decided} of ${asked} decided` : "nothing is referred");
  byId("progress").max = Math.max(asked, 1);
  byId("progress").value = asked ? decided : 1;
  for (const which of ["pending", "all"]) {
    const button = byId(`filter-${which}`);
    button.setAttribute("aria-pressed", String(session.filter === which));
    button.querySelector("b").textContent = which === "all" ? lesions.length : lesions.filter((l) => l.pending).length;
  }
  fill(byId("lesions"), listed().map(lesionRow), "No lesion is pending.");
  fill(byId("scans"), scans.map(scanRow), "There is no scan.");
  document.querySelector("#lesions [aria-current=true]")?.scrollIntoView({ block: "nearest" });
  document.querySelector("#scans [aria-current=true]")?.scrollIntoView({ block: "nearest" });
}

function fill(list, rows, nothing) {
  const held = list.contains(document.activeElement) ? document.activeElement.dataset.row : null;
  list.replaceChildren(...(rows.length ? rows : [make("li", { class: "nothing" }, nothing)]));
  const buttons = [...list.querySelectorAll("button")];
  const chosen = buttons.find((button) => button.getAttribute("aria-current") === "true") || buttons[0];
  for (const button of buttons) button.tabIndex = button === chosen ? 0 : -1;
  if (held) buttons.find((button) => button.dataset.row === held)?.focus();
}

function lesionRow(entry) {
  const label = labelOf(entry.label);
  const state = entry.pending ? (entry.differs ? "readings differ" : "pending") : entry.decided ? "decided" : "not referred";
  const row = make("button", {
    type: "button",
    class: `row ${entry.pending ? "pending" : state.replace(" ", "-")}`,
    "data-row": `${entry.scan} ${entry.key}`,
    "aria-current": String(same(entry, current())),
    "aria-label": `Lesion ${entry.key} of ${entry.scan}, ${label.title}, ${state}, ${number(entry.effect, 1)} Agatston`,
    onclick: () => open(entry.scan, entry.key),
  });
  row.append(
    make("i", { class: "dot", colour: label.colour }),
    make("span", { class: "key" }, entry.key),
    make("span", { class: "label" }, label.title),
    make("span", { class: "effect" }, number(entry.effect, entry.effect < 10 ? 1 : 0)),
    make("span", { class: "of" }, entry.differs && entry.pending ? `≠ ${entry.scan}` : entry.scan),
  );
  return make("li", {}, row);
}

const span = ({ valid, headline, agatston, lowest, highest, pending }) => {
  if (!valid) return headline;
  const score = Math.round(agatston);
  return pending ? `${score} (${Math.round(lowest)}–${Math.round(highest)})` : `${score}`;
};

function scanRow(scan) {
  const first = session.queue.lesions.find((entry) => entry.scan === scan.scan);
  const failed = scan.state[0] === "failed";
  const row = make("button", {
    type: "button",
    class: `row scan${failed ? " failed" : ""}`,
    "data-row": scan.scan,
    "data-scan": scan.scan,
    "aria-current": String(scan.scan === session.scan?.scan),
    "aria-label": `${scan.scan}, ${scan.valid ? `Agatston ${scan.headline}, category ${scan.category}` : scan.headline}${failed ? `, cannot be shown: ${scan.state[1]}` : ""}`,
    title: failed ? scan.state[1] : scan.headline,
    onclick: () => open(scan.scan, first?.key),
  });
  row.append(
    make("span", { class: "of" }, scan.scan),
    make("span", { class: "left" }, scan.pending ? `${scan.pending}` : ""),
    make("span", { class: "headline" }, span(scan)),
    make("span", { class: "category" }, failed ? "not shown" : scan.category),
  );
  return make("li", {}, row);
}
