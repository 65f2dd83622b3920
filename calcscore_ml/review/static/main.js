// The page begins here: who is it, what is there, show the first lesion; then keep up with the server.

import { Away, Refused, get, takeToken } from "./api.js";
import { startAgreement } from "./agreement.js";
import { away, back, banner, recover, refusedToken, warn } from "./deciding.js";
import { byId, say } from "./dom.js";
import { startExports } from "./exports.js";
import { startHeart } from "./heart.js";
import { startKeys } from "./keys.js";
import { startNotes } from "./notes.js";
import { startPanel } from "./panel.js";
import { loadQueue, open, startQueue, takeScan } from "./queue.js";
import { on, session, tell } from "./session.js";
import { startStage } from "./stage.js";
import { startTools } from "./tools.js";

const PULSE_MS = 2500;
const MODES = { shared: "shared reading", blinded: "blinded reading", consensus: "consensus" };

async function begin() {
  performance.mark("begun");
  if (!takeToken()) {
    refusedToken();
    return;
  }
  try {
    session.start = await get("/api/start", {}, { cache: "no-store" });
    await loadQueue();
  } catch (error) {
    if (error instanceof Refused) {
      if (error.status === 401) refusedToken();
      else banner(error.message);
      return;
    }
    if (!(error instanceof Away)) throw error;
    banner("The server does not answer. Trying again.");
    setTimeout(begin, PULSE_MS);
    return;
  }
  byId("banner").hidden = true;
  say("observer", session.start.observer);
  say("mode", MODES[session.start.mode]);
  for (const start of [startStage, startHeart, startPanel, startQueue, startTools, startNotes, startExports, startAgreement, startKeys]) start();
  tell("queue");
  const failed = Object.entries(session.start.failed);
  if (failed.length) warn(`${failed.length} of the results cannot be read: ${failed.map(([name]) => name).join(", ")}`);
  on("queue", tellDone);
  const { scans, lesions } = session.queue;
  const first = lesions.find((entry) => entry.pending) || lesions[0];
  try {
    if (first || scans.length) await open(first?.scan ?? scans[0].scan, first?.key);
  } catch (error) {
    lost(error);
  }
  tellDone();
  recover();
  setTimeout(pulse, PULSE_MS);
}

// Another address of the same server in the same tab: begin anew with its token.
window.addEventListener("hashchange", () => {
  if (location.hash.startsWith("#token=")) location.reload();
});

// Opening a lesion may fail when the server is away; it is told and not lost.
window.addEventListener("unhandledrejection", (event) => {
  if (event.reason instanceof Away || event.reason instanceof Refused) {
    event.preventDefault();
    lost(event.reason);
  }
});

function lost(error) {
  say("loading", "");
  if (error instanceof Refused && error.status === 401) refusedToken();
  else if (error instanceof Refused) warn(error.message);
  else away(error);
}

function tellDone() {
  const left = session.queue.lesions.some((entry) => entry.pending);
  document.body.dataset.done = left ? "no" : "yes";
}

// What others decided meanwhile, and which scans are at hand.
async function pulse() {
  try {
    if (!document.hidden) await keepUp();
  } catch (error) {
    if (error instanceof Refused && error.status === 401) refusedToken();
    else if (error instanceof Away) away(error);
    else if (!(error instanceof Refused)) throw error;
  } finally {
    setTimeout(pulse, PULSE_MS);
  }
}

async function keepUp() {
  const { versions, states } = await get("/api/pulse", {}, { cache: "no-store" });
  back();
  if (session.saving) return;
  const news = session.queue.scans.filter((scan) => (versions[scan.scan] || 0) > scan.version);
  for (const scan of session.queue.scans) scan.state = states[scan.scan] || scan.state;
  const reading = Object.values(states).filter(([state]) => state === "waiting" || state === "reading").length;
  say("loading", reading ? `${reading} scans are being prepared` : "");
  if (!news.length) return;
  const here = news.find((scan) => scan.scan === session.scan?.scan);
  const before = session.scan?.version;
  await loadQueue();
  if (here && !session.saving) {
    const found = await get("/api/scan", { scan: here.scan }, { cache: "no-store" });
    if (session.saving || session.scan?.scan !== found.scan || session.scan.version >= found.version) return;
    await takeScan(found);
    const fresh = found.history.filter((event) => event.version > before && event.observer !== session.start.observer);
    if (fresh.length) warn(`${fresh[0].observer} decided: ${fresh[0].text}`);
  }
}

begin();
