// The three views together: they share the cursor, the window and what lies over the pictures.

import { isSeen, wasSeen } from "./deciding.js";
import { byId, make, say } from "./dom.js";
import { prefetch } from "./pictures.js";
import { pendingAfter, current, fetchScan } from "./queue.js";
import { lesion, on, session, tell } from "./session.js";
import { AXES, clamp } from "./space.js";
import { SliceView } from "./view.js";

const AHEAD = [1, -1, 2, -2, 3, -3, 4, -4];
const NAMES = { axial: "Axial", coronal: "Coronal", sagittal: "Sagittal" };
const WINDOW_KEYS = { calcium: "c", mediastinum: "m", lung: "l", bone: "b" };

const views = {};
let last = "axial";
let fitted = false;

export const active = () => views[last];

export function startStage() {
  for (const axis of Object.keys(AXES)) {
    views[axis] = new SliceView(byId(axis), axis);
    byId(axis).addEventListener("focus", () => {
      last = axis;
      drawAll();
    });
  }
  on("cursor window overlay crosshair tool lesion scan", drawAll);
  on("opened", show);
  on("picture", tellPicture);
  byId("windows").replaceChildren(...session.start.windows.map(windowButton));
  on("window", markWindow);
  on("overlay", () => byId("overlay").setAttribute("aria-pressed", String(session.overlay)));
  markWindow();
}

function windowButton(name) {
  const press = () => {
    session.window = name;
    tell("window");
  };
  return make("button", { type: "button", "data-window": name, onclick: press, "aria-label": `${name} window, key ${WINDOW_KEYS[name]}` }, make("u", {}, name[0].toUpperCase()), name.slice(1));
}

function markWindow() {
  for (const button of document.querySelectorAll("[data-window]")) {
    button.setAttribute("aria-pressed", String(button.dataset.window === session.window));
  }
}

// A lesion was opened: look at it.
function show() {
  document.body.dataset.ready = "no";
  fitted = false;
  const found = lesion();
  const { shape } = session.scan;
  session.cursor = found ? [...found.peak] : shape.map((n) => Math.floor(n / 2));
  for (const view of Object.values(views)) {
    if (found) view.focusOn(found.centre);
    else view.fit();
  }
  tell("cursor");
  tellPicture(); // also when the slice is the one that was shown before
  fetchAhead();
  if (document.activeElement === document.body) byId("axial").focus({ preventScroll: true });
}

export function centreOnLesion() {
  if (session.scan) show();
}

export function fitOrClose() {
  fitted = !fitted;
  const view = active();
  if (fitted || !lesion()) view.fit();
  else view.focusOn(lesion().centre);
}

function drawAll() {
  if (!session.scan) return;
  for (const view of Object.values(views)) view.draw();
  for (const [axis, view] of Object.entries(views)) {
    const length = session.scan.shape[AXES[axis].across];
    byId(`${axis}-where`).replaceChildren(make("span", { class: "plane" }, `${NAMES[axis]} `), `${view.index + 1}/${length}`);
    const found = lesion();
    const cursor = session.tool || session.crosshair ? `, crosshair at ${session.cursor.join(", ")}` : "";
    const label = `${NAMES[axis]} slice ${view.index + 1} of ${length}${found ? `, lesion ${found.key}` : ""}${cursor}`;
    view.canvas.setAttribute("aria-label", label);
    view.canvas.parentElement.classList.toggle("active", axis === last);
  }
}

function tellPicture() {
  const view = views.axial;
  const [state, why] = view.error ? ["error", view.error] : view.ready ? ["", ""] : ["wait", "Reading the slice…"];
  say("axial-state", why);
  byId("axial-state").classList.toggle("error", state === "error");
  view.canvas.dataset.shown = view.shown || "";
  const found = lesion();
  const here = found && session.shapes.get(found.key)?.cells("axial", view.index).length;
  if (view.ready && here && !isSeen()) {
    performance.mark("seen");
    wasSeen();
  } else if (view.ready || state === "error") {
    document.body.dataset.ready = view.ready ? "yes" : "error";
  }
}

// Neighbouring slices, then what the next lesion will need.
async function fetchAhead() {
  const { scan, shape } = session.scan;
  const wanted = [];
  const around = (name, sizes, at, steps) => {
    for (const axis of Object.keys(AXES)) {
      const { across } = AXES[axis];
      for (const by of axis === "axial" ? steps : steps.slice(0, 2)) {
        const index = at[across] + by;
        if (index === clamp(index, 0, sizes[across] - 1)) wanted.push([name, axis, index, session.window]);
      }
    }
  };
  const next = pendingAfter(current());
  around(scan, shape, session.cursor, AHEAD.slice(0, 4));
  if (next) {
    try {
      const told = await fetchScan(next.scan);
      const found = told.lesions.find((l) => l.key === next.key);
      if (found) around(next.scan, told.shape, found.peak, [0, 1, -1]);
      wanted.push([next.scan, `heart ${session.heart}`, 0, "calcium"]);
    } catch {
      // it is asked for again, and told, when it is opened
    }
  }
  around(scan, shape, session.cursor, AHEAD.slice(4));
  if (session.scan.scan === scan) prefetch(wanted);
}
