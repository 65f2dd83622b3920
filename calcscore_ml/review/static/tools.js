// Tools that work at a point of a view: split a lesion, exclude voxels, add a lesion. A mouse click and the Enter key
// at the crosshair are the same.

import { Away, post } from "./api.js";
import { decide, warn } from "./deciding.js";
import { byId, make, number, say } from "./dom.js";
import { outlined, strokeCells, CHOSEN } from "./drawing.js";
import { Shape } from "./outlines.js";
import { labelOf, lesion, on, session, tell } from "./session.js";
import { AXES, toScreen } from "./space.js";

const BRUSH_MM = [0, 0.5, 1, 1.5, 2, 3, 4, 6];
const PARTS = ["#7cc4ff", "#ff9d5c", "#8fe38f", "#e3a0ff"];

export const KINDS = { split: startSplit, exclude: startExclude, add: startAdd };

export function startTools() {
  byId("tool-apply").addEventListener("click", () => session.tool?.apply());
  byId("tool-second").addEventListener("click", () => session.tool?.second());
  byId("tool-cancel").addEventListener("click", drop);
  on("opened", drop);
  on("tool", show);
}

export function take(kind) {
  if (session.saving) return warn("The last decision is not saved yet.");
  if (!session.scan) return false;
  if (kind !== "add" && !lesion()) return warn("There is no lesion to work on.");
  session.tool = KINDS[kind]();
  tell("tool");
  byId("axial").focus();
  return true;
}

export function drop() {
  if (!session.tool) return;
  session.tool = null;
  tell("tool");
}

function show() {
  const { tool } = session;
  byId("tool").hidden = !tool;
  byId("tools").hidden = Boolean(tool);
  if (!tool) return;
  say("tool-name", tool.name);
  say("tool-text", tool.text());
  byId("tool-apply").hidden = !tool.canApply();
  byId("tool-second").hidden = !tool.second;
  if (tool.second) byId("tool-second").replaceChildren(tool.secondName, make("kbd", {}, tool.secondKey));
}

async function preview(intent) {
  try {
    return await post("/api/preview", { scan: session.scan.scan, seen: session.scan.version, intent });
  } catch (error) {
    warn(error instanceof Away ? "The server does not answer; try again." : error.message);
    return null;
  }
}

function drawParts(pen, view, parts) {
  parts.forEach((shape, i) => {
    const cells = shape.cells(view.axis, view.index);
    if (cells.length) strokeCells(pen, view, cells, PARTS[i % PARTS.length], 2.5);
  });
}

function startSplit() {
  const { key } = lesion();
  let points = [];
  let axis = null;
  let intent = null;
  let parts = [];
  let told = "";

  const look = async (wanted) => {
    const found = await preview(wanted);
    if (session.tool !== tool) return;
    intent = found ? wanted : null;
    const made = found ? Object.values(found.lesions) : [];
    parts = made.map((part) => new Shape(part.voxels));
    told = made.map((part) => `${number(part.effect, 1)}`).join(" and ");
    if (!found) points = [];
    tell("tool");
  };
  const tool = {
    name: `Split ${key}`,
    text: () => {
      if (intent) return `${parts.length} parts, Agatston ${told}`;
      return points.length ? "Second point of the line: arrows and Enter, or click" : "First point of the line: arrows and Enter, or click";
    },
    canApply: () => Boolean(intent),
    at: (view, point, kind) => {
      if (kind === "drag") return;
      if (points.length !== 1 || view.axis !== axis) points = [];
      if (intent) {
        intent = null;
        parts = [];
      }
      axis = view.axis;
      points.push([...point]);
      if (points.length === 2) look({ kind: "split plane", lesion: key, first: points[0], second: points[1], axis });
      tell("tool");
    },
    secondName: "By artery",
    secondKey: "r",
    second: () => look({ kind: "split arteries", lesion: key }),
    apply: () => intent && decide(intent, `lesion ${key} split into ${parts.length}`),
    draw: (pen, view) => {
      drawParts(pen, view, parts);
      if (view.axis !== axis) return;
      const ends = points.map((point) => toScreen(axis, session.scan.spacing, view.look, point));
      pen.strokeStyle = CHOSEN;
      pen.fillStyle = CHOSEN;
      pen.lineWidth = 1.5;
      if (ends.length === 2) {
        const [[x0, y0], [x1, y1]] = ends;
        const far = 4000 / (Math.hypot(x1 - x0, y1 - y0) || 1);
        pen.beginPath();
        pen.moveTo(x0 - (x1 - x0) * far, y0 - (y1 - y0) * far);
        pen.lineTo(x0 + (x1 - x0) * far, y0 + (y1 - y0) * far);
        pen.setLineDash([6, 4]);
        pen.stroke();
        pen.setLineDash([]);
      }
      for (const [x, y] of ends) {
        pen.beginPath();
        pen.arc(x, y, 3.5, 0, 7);
        pen.fill();
      }
    },
  };
  return tool;
}

function startExclude() {
  const { key } = lesion();
  const shape = session.shapes.get(key);
  const marked = new Set();
  let size = 2;
  let marks = true;

  // Voxels of the lesion in this slice, within the brush; the one at the point itself always.
  const under = (view, point) => {
    const { row, column } = AXES[view.axis];
    const { spacing } = session.scan;
    return shape.kept(view.axis, view.index).filter(([r, c]) => {
      const [down, right] = [Math.abs(r - point[row]), Math.abs(c - point[column])];
      return Math.hypot(down * spacing[row], right * spacing[column]) <= BRUSH_MM[size] || (down <= 0.5 && right <= 0.5);
    });
  };
  const tool = {
    name: `Exclude from ${key}`,
    brushes: true,
    text: () => `${marked.size} of ${shape.count - shape.excluded.size} voxels marked; brush ${BRUSH_MM[size] || "one voxel"}${BRUSH_MM[size] ? " mm" : ""}: [ ]. Enter at the crosshair, or paint`,
    canApply: () => marked.size > 0,
    at: (view, point, kind) => {
      const found = under(view, point);
      if (!found.length && kind !== "drag") warn(`No voxel of lesion ${key} is under the brush here.`);
      if (kind !== "drag") marks = found.some(([, , position]) => !marked.has(position));
      for (const [, , position] of found) {
        if (marks) marked.add(position);
        else marked.delete(position);
      }
      tell("tool");
    },
    key: (pressed) => {
      if (pressed !== "[" && pressed !== "]") return false;
      size = Math.min(BRUSH_MM.length - 1, Math.max(0, size + (pressed === "]" ? 1 : -1)));
      tell("tool");
      return true;
    },
    apply: () => {
      const noun = marked.size === 1 ? "voxel" : "voxels";
      const positions = [...marked].sort((a, b) => a - b);
      return marked.size && decide({ kind: "exclude", lesion: key, positions }, `lesion ${key}: ${marked.size} ${noun} excluded`);
    },
    draw: (pen, view) => {
      const { axis, look } = view;
      const { row, column } = AXES[axis];
      const { spacing } = session.scan;
      pen.fillStyle = "rgba(255, 92, 92, 0.55)";
      for (const [r, c, position] of shape.kept(axis, view.index)) {
        if (!marked.has(position)) continue;
        const corner = [0, 0, 0];
        corner[row] = AXES[axis].up ? r + 0.5 : r - 0.5;
        corner[column] = c - 0.5;
        const [x, y] = toScreen(axis, spacing, look, corner);
        pen.fillRect(x, y, spacing[column] * look.scale, spacing[row] * look.scale);
      }
      if (document.activeElement !== view.canvas) return;
      const [x, y] = toScreen(axis, spacing, look, session.cursor);
      pen.beginPath();
      pen.arc(x, y, Math.max(BRUSH_MM[size] * look.scale, 3), 0, 7);
      pen.strokeStyle = "#ff9d9d";
      pen.lineWidth = 1.5;
      pen.stroke();
    },
  };
  return tool;
}

function startAdd() {
  let found = null;
  let voxel = null;
  const tool = {
    name: "Add a lesion",
    text: () => {
      if (!found) return `Choose a voxel of at least ${number(session.scan.threshold_hu)} HU: arrows and Enter, or click`;
      return `${found.count} voxels, Agatston ${number(found.effect, 1)}: press 1 to 7 for its label`;
    },
    canApply: () => false,
    at: async (view, point, kind) => {
      if (kind === "drag") return;
      voxel = point.map(Math.round);
      const told = await preview({ kind: "add", voxel, label: 1 });
      if (session.tool !== tool) return;
      const [made] = told ? Object.values(told.lesions) : [];
      found = made ? Object.assign(new Shape(made.voxels), { effect: made.effect }) : null;
      tell("tool");
    },
    apply: () => false,
    label: (one) => {
      if (!found) return warn("Choose a voxel first.");
      if (one === 0) return warn("What is added is calcium: press 1 to 7.");
      return decide({ kind: "add", voxel, label: one }, `lesion +${session.scan.version + 1} added: ${labelOf(one).title}`);
    },
    draw: (pen, view) => {
      if (!found) return;
      drawParts(pen, view, [found]);
      if (view.axis !== "axial") return;
      const [x, y] = toScreen(view.axis, session.scan.spacing, view.look, session.cursor);
      pen.font = "12px system-ui, sans-serif";
      outlined(pen, "new", x + 12, y - 10, PARTS[0]);
    },
  };
  return tool;
}
