// What is known of a lesion, and the labels it can have.

import { label, accept } from "./deciding.js";
import { byId, make, number, percent, say } from "./dom.js";
import { current, open, same } from "./queue.js";
import { labelOf, lesion, on, session } from "./session.js";
import { distanceMm } from "./space.js";

const NEAR_MM = 40;
const NEAR_MOST = 3;
const HISTORY_MOST = 12;

export function startPanel() {
  on("lesion saving", draw);
  on("scan", drawScan);
}

function drawScan() {
  const now = session.scan;
  say("scan-name", now.scan);
  byId("scan-name").title = now.scan;
  say("score", now.headline);
  say("category", now.valid ? now.category : "not valid");
  byId("category").title = now.invalid_reasons.join(" ");
}

function draw() {
  const found = lesion();
  drawScan();
  if (!found) {
    say("lesion-title", "No lesion");
    say("lesion-status", session.scan ? "nothing is listed in this scan" : "");
    for (const id of ["labels", "facts", "drivers", "measures", "near", "history"]) byId(id).replaceChildren();
    say("reason", session.scan?.invalid_reasons.join(" ") ?? "");
    say("accept", "");
    byId("accept").hidden = true;
    return;
  }
  const saving = session.saving && same(session.saving.from, current());
  say("lesion-title", `Lesion ${found.key}`);
  say("lesion-status", saving ? "saving…" : status(found));
  byId("lesion-status").classList.toggle("done", found.decided && !saving);
  byId("labels").replaceChildren(...session.start.labels.map((l) => labelButton(found, l)));
  drawAccept(found);
  drawOpinions(found);
  drawFacts(found);
  drawReason(found);
  drawDrivers(found);
  drawNear(found);
  drawHistory(found);
}

function status(found) {
  if (found.decided) return `decided by ${found.decided_by}`;
  return found.pending ? "pending" : "not referred";
}

function labelButton(found, one) {
  const share = found.probabilities[one.number];
  const said = found.said === one.number && !found.added;
  const chosen = found.label === one.number;
  const button = make("button", {
    type: "button",
    class: "pick",
    "data-label": one.number,
    "aria-pressed": String(chosen && found.decided),
    "aria-label": `${one.title}, key ${one.key}, probability ${percent(share)}${said ? ", the model's" : ""}`,
    colour: one.colour,
    onclick: () => {
      byId("axial").focus();
      label(one.number);
    },
  });
  button.append(
    make("kbd", {}, one.key),
    make("span", { class: "name" }, one.title),
    make("span", { class: "said" }, said ? "model" : ""),
    make("span", { class: "bar", share: share ?? 0 }),
    make("span", { class: "share" }, percent(share)),
  );
  return button;
}

function drawAccept(found) {
  const button = byId("accept");
  const agreed = session.scan.opinions?.[found.key];
  const differs = agreed?.differs;
  button.hidden = Boolean(found.added && !agreed);
  button.disabled = Boolean(differs);
  const text = differs ? "Readings differ: choose" : `Accept ${labelOf(agreed?.agreed ? agreed.label : found.said).title}`;
  button.replaceChildren(text, differs ? "" : make("kbd", {}, "Space"));
  button.onclick = () => {
    byId("axial").focus();
    accept();
  };
}

function drawOpinions(found) {
  const opinion = session.scan.opinions?.[found.key];
  byId("opinions").hidden = !opinion;
  if (!opinion) return;
  const rows = opinion.said.map((one) => {
    return make("div", { class: "opinion", colour: one.label === null ? null : labelOf(one.label).colour },
      make("span", { class: "reader" }, one.reading),
      make("span", { class: "label" }, one.text),
      one.note ? make("span", { class: "quote" }, one.note) : null);
  });
  byId("opinions").replaceChildren(make("h3", {}, opinion.agreed ? "The readings agree" : opinion.differs ? "The readings differ" : "The readings"), ...rows);
}

function drawFacts(found) {
  const rows = [
    ["Agatston", number(found.effect, 1)],
    ["Volume", `${number(found.volume_mm3, 1)} mm³`],
    ["Mean, peak", `${number(found.mean_hu)}, ${number(found.peak_hu)} HU`],
  ];
  byId("facts").replaceChildren(...rows.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
}

function drawReason(found) {
  const whole = session.scan.whole_scan.length ? ` The whole scan is referred: ${session.scan.whole_scan.join("; ")}.` : "";
  const why = found.reason ? `${found.referred ? "Referred" : "Not referred"}: ${found.reason}. ` : "";
  const none = session.scan.valid ? "" : ` No score: ${session.scan.invalid_reasons.join(" ")}`;
  say("reason", `${why}${found.doubts.join(" ")}${whole}${none}`);
  byId("lesion-note").hidden = !found.note && !session.scan.note;
  const notes = [found.note && `Note: ${found.note}`, session.scan.note && `Note on the scan: ${session.scan.note}`];
  say("lesion-note", notes.filter(Boolean).join("\n"));
}

function drawDrivers(found) {
  const largest = Math.max(...found.drivers.map((d) => Math.abs(d.effect)), 0.01);
  const rows = found.drivers.map((d) => make("div", {
    class: `driver ${d.effect < 0 ? "against" : "for"}`,
    share: Math.abs(d.effect) / largest,
    title: `${d.feature}: ${short(d.value)}, typically ${short(d.typical)}`,
  },
  make("span", { class: "feature" }, d.feature.replaceAll("_", " ")),
  make("span", { class: "value" }, `${short(d.value)} (typ. ${short(d.typical)})`),
  make("span", { class: "pull" }),
  make("span", { class: "amount" }, `${d.effect < 0 ? "−" : "+"}${Math.abs(100 * d.effect).toFixed(0)}`)));
  const head = make("h3", {}, "What drove it", make("small", {}, " points of probability coronary"));
  byId("drivers").replaceChildren(...(rows.length ? [head, ...rows] : []));
  byId("measures").replaceChildren(...found.measures.map((m) =>
    make("div", { title: m.meaning }, make("dt", {}, m.name), make("dd", {}, number(m.value, 2)))));
}

const short = (value) => (value === null ? "–" : Number(value.toPrecision(3)).toString());

function drawNear(found) {
  const { spacing, lesions } = session.scan;
  const near = lesions
    .filter((other) => other.key !== found.key)
    .map((other) => ({ other, away: distanceMm(spacing, found.centre, other.centre) }))
    .filter(({ away }) => away < NEAR_MM)
    .sort((a, b) => a.away - b.away)
    .slice(0, NEAR_MOST);
  const rows = near.map(({ other, away }) => make("button", {
    type: "button",
    class: "neighbour",
    colour: labelOf(other.label).colour,
    onclick: () => open(session.scan.scan, other.key),
  }, make("i", { class: "dot" }), `${other.key} ${labelOf(other.label).title}, ${number(away)} mm`));
  byId("near").replaceChildren(...(rows.length ? [make("h3", {}, "Neighbours"), ...rows] : []));
}

function drawHistory(found) {
  const key = found.key.split(".")[0];
  const own = session.scan.history.filter((e) => e.lesion === null || e.lesion.split(".")[0] === key);
  const rows = own.slice(0, HISTORY_MOST).map((e) => make("p", { class: e.undone ? "undone" : null },
    make("time", { datetime: e.at }, new Date(e.at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" })),
    ` ${e.observer}: ${e.text}`));
  byId("history").replaceChildren(...(rows.length ? [make("h3", {}, "Decisions"), ...rows] : []));
}
