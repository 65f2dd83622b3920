// How far the readings agree, for the consensus.

import { get, post } from "./api.js";
import { warn } from "./deciding.js";
import { byId, make } from "./dom.js";
import { fetchScan, loadQueue, open, takeScan } from "./queue.js";
import { session } from "./session.js";

export function startAgreement() {
  byId("open-agreement").hidden = session.start.mode !== "consensus";
  byId("open-agreement").addEventListener("click", openAgreement);
}

export async function openAgreement() {
  if (session.start.mode !== "consensus") return warn("Agreement is shown when readings are settled: --consensus.");
  let told;
  try {
    told = await get("/api/agreement", {}, { cache: "no-store" });
  } catch (error) {
    return warn(error.message);
  }
  const pairs = told.pairs.map((pair) => make("section", {},
    make("h3", {}, pair.readings.join(" and ")),
    make("dl", { class: "numbers" }, ...pair.numbers.map(([name, value]) =>
      make("div", {}, make("dt", {}, name), make("dd", {}, value))))));
  const rows = told.disagreements.map((found) => make("button", {
    type: "button",
    onclick: () => {
      byId("agreement").close();
      open(found.scan, found.key);
    },
  }, make("strong", {}, `Lesion ${found.name} of ${found.scan}${found.settled ? ", settled" : ""}`), make("span", {}, found.text)));
  const none = told.readings.length < 2 ? "Two readings are needed; there are fewer." : "There is no disagreement.";
  const list = rows.length ? rows : [make("p", {}, none)];
  const adoption = make("p", { role: "status" });
  const adopting = make("button", { type: "button", id: "adopt", onclick: () => adopt(adopting, adoption) }, "Adopt every label the readings agree on");
  byId("agreement-body").replaceChildren(...pairs, make("div", { class: "row" }, adoption, adopting), make("h3", {}, "Disagreements"), make("div", { class: "disagreements" }, ...list));
  byId("agreement").showModal();
  return true;
}

// Decide on every lesion that the readings agree on, one after the other; each is stored like any decision.
async function adopt(button, state) {
  button.disabled = true;
  let made = 0;
  try {
    for (const { scan } of session.queue.scans) {
      let told = await fetchScan(scan);
      const agreed = Object.entries(told.opinions).filter(([, opinion]) => opinion.agreed).map(([key]) => key);
      for (const key of agreed) {
        if (told.lesions.find((lesion) => lesion.key === key)?.decided) continue;
        const intent = { kind: "label", lesion: key, label: told.opinions[key].label };
        told = (await post("/api/decide", { scan, seen: told.version, intent })).scan;
        made += 1;
        state.textContent = `${made} saved`;
      }
      await takeScan(told);
    }
    state.textContent = made ? `${made} labels adopted and saved.` : "Every agreed label is adopted already.";
  } catch (error) {
    state.textContent = `Stopped after ${made} were saved: ${error.message}`;
  }
  await loadQueue();
  button.disabled = false;
}
