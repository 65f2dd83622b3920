// Decisions: on their way, confirmed, refused or overtaken. Only what the server confirmed is shown as saved.

import { Away, Refused, get, post } from "./api.js";
import { byId, make, say, speak } from "./dom.js";
import { prefetch } from "./pictures.js";
import { current, fetchScan, loadQueue, open, pendingAfter, takeScan } from "./queue.js";
import { labelOf, lesion, session, tell } from "./session.js";

const UNSAVED = "calcscore-review-unsaved";
const MADE = "calcscore-review-made"; // own decisions, the last one last
const MADE_MOST = 500;
const AGAIN_MS = 1500;

// Whether the lesion's own picture has been seen: nobody decides on what was never shown.
let seen = "";

export function wasSeen() {
  seen = JSON.stringify(current());
  document.body.dataset.ready = "yes";
}

export function isSeen() {
  return seen === JSON.stringify(current());
}

export function label(number) {
  const found = lesion();
  if (!found) return warn("There is no lesion to label.");
  if (!isSeen()) return warn("Wait for the picture: a lesion is decided on once it has been seen.");
  const text = `lesion ${found.key}: ${labelOf(number).title}`;
  return decide({ kind: "label", lesion: found.key, label: number }, text, true);
}

export function accept() {
  const found = lesion();
  if (!found) return warn("There is no lesion to accept.");
  const agreed = session.scan.opinions?.[found.key];
  if (agreed?.differs) return warn("The readings differ: press the number of a label.");
  return label(agreed?.agreed ? agreed.label : found.said);
}

// Undo one's own last decision that stands, in whichever scan it was made; undoing goes back step by step.
export async function undo() {
  if (session.saving) return warn("The last decision is not saved yet.");
  const made = JSON.parse(sessionStorage.getItem(MADE) || "[]");
  while (made.length) {
    const { scan, id } = made.pop();
    sessionStorage.setItem(MADE, JSON.stringify(made));
    const told = session.queue.scans.some((entry) => entry.scan === scan) ? await fetchScan(scan) : null;
    if (told?.history.some((entry) => entry.id === id && !entry.undone)) return undoEvent(told, id);
  }
  const own = session.scan?.history.find((e) => !e.undone && e.kind !== "undo" && e.observer === session.start.observer);
  return own ? undoEvent(session.scan, own.id) : warn("You have made no decision that could be undone here.");
}

function undoEvent(told, id) {
  const event = told.history.find((entry) => entry.id === id);
  return decide({ kind: "undo", event: id }, `undo ${event.text}`, false, told, event.lesion);
}

function remember(decision, scan) {
  if (decision.kind === "undo") return;
  const made = JSON.parse(sessionStorage.getItem(MADE) || "[]");
  made.push({ scan: scan.scan, id: decision.id });
  sessionStorage.setItem(MADE, JSON.stringify(made.slice(-MADE_MOST)));
}

export async function decide(intent, text, moveOn = false, told = session.scan, goTo = null) {
  if (session.saving) return warn("The last decision is not saved yet.");
  const asked = { scan: told.scan, seen: told.version, intent };
  const from = current();
  performance.mark("decided");
  prefetch([]); // the server has something more urgent to do now
  session.saving = { asked, text, moveOn, goTo, from, tries: 0 };
  sessionStorage.setItem(UNSAVED, JSON.stringify({ asked, text }));
  tell("saving");
  tellSaved("Saving…");
  return send();
}

async function send() {
  const { saving } = session;
  saving.tries += 1;
  let answer;
  try {
    answer = await post("/api/decide", saving.asked);
  } catch (error) {
    return failed(saving, error);
  }
  return confirmed(answer);
}

async function failed(saving, error) {
  if (error instanceof Away || (error instanceof Refused && error.status === 507)) {
    away(error);
    if (error instanceof Away) setTimeout(() => session.saving === saving && send(), AGAIN_MS);
  } else if (error instanceof Refused && error.status === 409) {
    return overtaken(error.body);
  } else if (error instanceof Refused && error.status === 401) {
    tellSaved("Not saved");
    refusedToken();
  } else if (error instanceof Refused) {
    forget();
    settle();
    tellSaved("");
    warn(error.message);
  } else {
    throw error;
  }
  return false;
}

// Try to save what is not saved yet, now.
export const again = () => session.saving && send();

function forget() {
  sessionStorage.removeItem(UNSAVED);
  hideBanner();
}

function settle() {
  session.saving = null;
  tell("saving");
}

// The server has stored it. Until what comes next is shown, no key decides on what was shown before.
async function confirmed({ decision, scan }) {
  const { moveOn, goTo, from } = session.saving;
  forget();
  remember(decision, scan);
  const next = moveOn ? pendingAfter(from) : null;
  const structural = ["split", "exclude", "add", "undo"].includes(decision.kind);
  const made = decision.kind === "split" ? `${decision.lesion}.1` : decision.kind === "add" ? decision.lesion : null;
  try {
    await takeScan(scan);
    performance.mark("rescored");
    say("warning", "");
    say("change", `${decision.text} · ${decision.change}`);
    byId("change").title = byId("change").textContent;
    byId("change").classList.toggle("moved", decision.change.includes("→"));
    speak(`Saved. ${decision.text}. Score ${decision.change}.`);
    if (structural) await loadQueue();
    if (made || goTo) await open(scan.scan, made || goTo);
    else if (next) await open(next.scan, next.key);
  } finally {
    settle();
    tellSaved("Saved");
  }
  return true;
}

// Another decision came first. When it is this very one, sent twice because its first answer was lost, it is saved.
async function overtaken({ missed, scan }) {
  const { asked, text, tries } = session.saving;
  const first = missed[0];
  if (tries > 1 && first && isOwn(first, asked)) {
    return confirmed({ decision: first, scan });
  }
  forget();
  try {
    await takeScan(scan);
    await loadQueue();
  } finally {
    settle();
    tellSaved("Not saved");
  }
  const lines = missed.map((event) => make("p", {}, make("strong", {}, event.observer), ` decided on ${event.text}, `, ago(event.at), "."));
  byId("conflict-text").replaceChildren(...lines, make("p", {}, `You had asked for: ${text}.`));
  byId("conflict").showModal();
  return false;
}

// Whether an event is what this page asked for.
function isOwn(event, { seen: before, intent }) {
  if (event.observer !== session.start.observer || event.version !== before + 1) return false;
  if (event.kind !== intent.kind.split(" ")[0]) return false;
  if (intent.kind === "undo") return event.undoes === intent.event;
  return (intent.kind === "add" || event.lesion === (intent.lesion ?? null)) && event.label === (intent.label ?? null);
}

function ago(at) {
  const seconds = Math.max(0, Math.round((Date.now() - Date.parse(at)) / 1000));
  if (seconds < 90) return `${seconds} s ago`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min ago` : `${Math.round(seconds / 3600)} h ago`;
}

function tellSaved(text) {
  say("saved", text);
  byId("saved").classList.toggle("no", text === "Not saved");
}

// What was not saved before the page was closed or reloaded.
export function recover() {
  const kept = JSON.parse(sessionStorage.getItem(UNSAVED) || "null");
  if (!kept) return;
  const act = async () => {
    sessionStorage.removeItem(UNSAVED);
    hideBanner();
    const last = session.queue.lesions.find((l) => l.scan === kept.asked.scan && l.key === kept.asked.intent.lesion);
    await open(kept.asked.scan, last?.key);
  };
  banner(`Not saved before the page was loaded: ${kept.text} (${kept.asked.scan}).`, "Go there", act);
}

// Something that did not work, told over the slice until the next thing is done.
export function warn(text) {
  say("warning", text);
  return false;
}

export function away(error) {
  session.away = true;
  const waiting = session.saving ? `Not saved yet: ${session.saving.text}. ` : "";
  const why = error instanceof Refused ? error.message : "The server does not answer.";
  tellSaved(session.saving ? "Not saved" : "");
  banner(`${why} ${waiting}${session.saving ? "It is kept here and sent again." : "Trying again."}`, "Try now", () => {
    if (session.saving) again();
    else get("/api/pulse").then(back, away);
  });
}

export function back() {
  if (!session.away) return;
  session.away = false;
  if (!session.saving) hideBanner();
}

export function refusedToken() {
  const waiting = session.saving ? `Not saved: ${session.saving.text}. ` : "";
  banner(`${waiting}This address is not valid (any more): open the one that calcscore review printed.`);
}

export function banner(text, act = "", what = null) {
  say("banner-text", text);
  const button = byId("banner-act");
  button.hidden = !act;
  button.textContent = act;
  button.onclick = what;
  byId("banner").hidden = false;
}

export function hideBanner() {
  session.away = false;
  byId("banner").hidden = true;
}
