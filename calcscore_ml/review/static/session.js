// What the page knows, in one place; parts of the page listen for what changed.

export const session = {
  start: null, // labels, windows and who this is
  queue: { scans: [], lesions: [] },
  scan: null, // the scan that is shown, as the server told it
  shapes: null, // voxels of its lesions
  key: null, // the lesion that is shown
  filter: "pending",
  window: "calcium",
  overlay: true,
  cursor: [0, 0, 0], // (z, y, x) in voxels
  crosshair: false,
  tool: null,
  saving: null, // the decision that is on its way and not confirmed
  heart: "coronal",
};

const changes = new EventTarget();

export const tell = (what) => changes.dispatchEvent(new Event(what));
export const on = (names, act) => names.split(" ").forEach((name) => changes.addEventListener(name, act));

export const lesion = () => session.scan?.lesions.find((found) => found.key === session.key) || null;
export const labelOf = (number) => session.start.labels.find((found) => found.number === number);
