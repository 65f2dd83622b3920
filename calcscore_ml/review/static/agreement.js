// How far the readings agree, for the consensus.

import { get } from "./api.js";
import { warn } from "./deciding.js";
import { byId, make } from "./dom.js";
import { open } from "./queue.js";
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
  }, make("strong", {}, `${found.scan}, lesion ${found.key}`), make("span", {}, found.text)));
  const list = rows.length ? rows : [make("p", {}, "No disagreement is left.")];
  byId("agreement-body").replaceChildren(...pairs, make("h3", {}, "Disagreements"), make("div", { class: "disagreements" }, ...list));
  byId("agreement").showModal();
  return true;
}
