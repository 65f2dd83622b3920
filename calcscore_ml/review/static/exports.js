// Downloads: fetched with the token, so no address that could be passed on gives them out.

import { getBlob } from "./api.js";
import { byId, make, say } from "./dom.js";
import { session } from "./session.js";

export function startExports() {
  byId("open-export").addEventListener("click", openExport);
}

export function openExport() {
  const scan = session.scan?.scan;
  const rows = [
    ["Decisions of all scans", "CSV, one row per decision", "/api/export/decisions.csv", {}, "decisions.csv"],
    scan && [`Labels of ${scan}`, "NIfTI volume in the scan's grid", "/api/export/labels.nii.gz", { scan }, `${safe(scan)}-labels.nii.gz`],
    ["Reviewed results of all scans", "ZIP of result folders, as calcscore score writes them", "/api/export/results.zip", {}, "reviewed-results.zip"],
  ].filter(Boolean);
  byId("export-list").replaceChildren(...rows.map(([name, what, path, query, file]) => make("button", {
    type: "button",
    "data-export": file,
    onclick: () => download(path, query, file),
  }, make("strong", {}, name), make("span", {}, what))));
  say("export-state", "");
  byId("export").showModal();
}

const safe = (name) => name.replaceAll(/[^A-Za-z0-9._-]/g, "_").slice(0, 80);

async function download(path, query, file) {
  say("export-state", "Preparing…");
  try {
    const address = URL.createObjectURL(await getBlob(path, query, { cache: "no-store" }));
    make("a", { href: address, download: file }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60000);
    say("export-state", `${file} was handed to the browser.`);
  } catch (error) {
    say("export-state", `Not exported: ${error.message}`);
  }
}
