// A note on the lesion that is shown.

import { decide, warn } from "./deciding.js";
import { byId, say } from "./dom.js";
import { lesion, session } from "./session.js";

export function startNotes() {
  const dialog = byId("noting");
  byId("noting-save").addEventListener("click", save);
  byId("noting-cancel").addEventListener("click", () => dialog.close());
  byId("noting-text").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      save();
    }
  });
}

export function openNote() {
  const found = lesion();
  if (!session.scan) return warn("There is no scan to note on.");
  if (session.saving) return warn("The last decision is not saved yet.");
  say("noting-of", found ? `On lesion ${found.key} of ${session.scan.scan}` : `On ${session.scan.scan}`);
  say("noting-error", "");
  byId("noting-text").value = found ? found.note : session.scan.note;
  byId("noting").showModal();
  byId("noting-text").focus();
  return true;
}

// The text stays in the dialog until it is saved.
async function save() {
  const found = lesion();
  const text = byId("noting-text").value.replaceAll("\r\n", "\n").trim();
  const saved = await decide({ kind: "note", lesion: found?.key ?? null, text }, found ? `lesion ${found.key}: note` : "scan: note");
  if (saved) byId("noting").close();
  else say("noting-error", "Not saved yet.");
}
