// What is drawn on a slice: the picture, outlines, expected arteries, the cursor and the scale.

import { edges } from "./outlines.js";
import { labelOf, session } from "./session.js";
import { AXES, toScreen } from "./space.js";

export const CHOSEN = "#ffd54a";
const FAINT = "rgba(170, 190, 210, 0.34)";
const INK = "rgba(236, 242, 248, 0.82)";
const FONT = "12px system-ui, sans-serif";
const SIDES = {
  axial: ["R", "L", "A", "P"],
  coronal: ["R", "L", "H", "F"],
  sagittal: ["A", "P", "H", "F"],
};

export function drawSlice(view, bitmap) {
  const { canvas, axis, look, index } = view;
  const pen = canvas.getContext("2d");
  const ratio = canvas.width / look.width;
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.fillStyle = "#000";
  pen.fillRect(0, 0, look.width, look.height);
  const { shape, spacing } = session.scan;
  const { row, column, up } = AXES[axis];
  if (bitmap) {
    const corner = [0, 0, 0];
    corner[column] = -0.5;
    corner[row] = up ? shape[row] - 0.5 : -0.5;
    const [x, y] = toScreen(axis, spacing, look, corner);
    pen.imageSmoothingEnabled = true;
    pen.imageSmoothingQuality = "high";
    pen.drawImage(bitmap, x, y, shape[column] * spacing[column] * look.scale, shape[row] * spacing[row] * look.scale);
  }
  if (session.overlay) {
    drawArteries(pen, view);
    drawLesions(pen, view, index);
  }
  session.tool?.draw?.(pen, view);
  drawCursor(pen, view);
  drawFrame(pen, view);
}

// The edges of cells as one stroke.
export function strokeCells(pen, view, cells, colour, width, dash = []) {
  const { axis, look } = view;
  const { row, column } = AXES[axis];
  const from = [0, 0, 0];
  pen.beginPath();
  for (const [r0, c0, r1, c1] of edges(cells)) {
    from[row] = r0;
    from[column] = c0;
    pen.moveTo(...toScreen(axis, session.scan.spacing, look, from));
    from[row] = r1;
    from[column] = c1;
    pen.lineTo(...toScreen(axis, session.scan.spacing, look, from));
  }
  pen.setLineDash(dash);
  pen.lineCap = "round";
  pen.strokeStyle = "rgba(0, 0, 0, 0.55)";
  pen.lineWidth = width + 1.5;
  pen.stroke();
  pen.strokeStyle = colour;
  pen.lineWidth = width;
  pen.stroke();
  pen.setLineDash([]);
}

function drawLesions(pen, view, index) {
  const { axis, look } = view;
  const { row, column } = AXES[axis];
  const named = [];
  for (const found of session.scan.lesions) {
    const shape = session.shapes?.get(found.key);
    if (!shape) continue;
    const chosen = found.key === session.key;
    const kept = shape.kept(axis, index);
    const out = shape.cells(axis, index).filter(([, , position]) => shape.excluded.has(position));
    if (out.length) strokeCells(pen, view, out, "#aab4be", 1, [2, 3]);
    if (!kept.length) continue;
    strokeCells(pen, view, kept, chosen ? CHOSEN : labelOf(found.label).colour, chosen ? 2 : 1.25);
    const corner = [0, 0, 0];
    corner[row] = (AXES[axis].up ? Math.max : Math.min)(...kept.map(([r]) => r));
    corner[column] = Math.max(...kept.map(([, c]) => c));
    const [x, y] = toScreen(axis, session.scan.spacing, look, corner);
    const text = chosen ? found.key : `${found.key} ${labelOf(found.label).title}`;
    named.push({ text, x: x + look.scale * 0.5 + 5, y: y - 5, colour: chosen ? CHOSEN : labelOf(found.label).colour });
  }
  if (axis !== "axial") return;
  pen.font = FONT;
  pen.textAlign = "left";
  const taken = [];
  for (const { text, x, y, colour } of named.reverse()) {
    const width = pen.measureText(text).width;
    const place = { x, y, width, height: 14 };
    while (taken.some((t) => overlap(t, place))) place.y += 14; // labels never cover each other
    taken.push(place);
    outlined(pen, text, place.x, place.y, colour);
  }
}

const overlap = (a, b) =>
  a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;

export function outlined(pen, text, x, y, colour) {
  pen.lineWidth = 3;
  pen.lineJoin = "round";
  pen.strokeStyle = "rgba(0, 0, 0, 0.8)";
  pen.strokeText(text, x, y);
  pen.fillStyle = colour;
  pen.fillText(text, x, y);
}

// Expected arteries near the slice, fainter the farther they are.
function drawArteries(pen, view) {
  const { axis, look, index } = view;
  const { spacing, arteries } = session.scan;
  const { across } = AXES[axis];
  const reach = Math.max(spacing[across], 3);
  for (const { colour, path } of Object.values(arteries)) {
    pen.fillStyle = colour;
    for (const point of path) {
      const away = Math.abs(point[across] - index) * spacing[across];
      if (away > reach) continue;
      pen.globalAlpha = 0.6 * (1 - away / (1.2 * reach));
      pen.beginPath();
      pen.arc(...toScreen(axis, spacing, look, point), 1.6, 0, 7);
      pen.fill();
    }
  }
  pen.globalAlpha = 1;
}

function drawCursor(pen, view) {
  const { axis, look } = view;
  const [x, y] = toScreen(axis, session.scan.spacing, look, session.cursor);
  const gap = 9;
  const strong = session.crosshair || session.tool;
  const lines = [
    [0, y, x - gap, y], [x + gap, y, look.width, y], [x, 0, x, y - gap], [x, y + gap, x, look.height],
  ];
  if (!strong && axis === "axial") return;
  pen.strokeStyle = strong ? "rgba(124, 196, 255, 0.9)" : FAINT;
  pen.lineWidth = 1;
  pen.beginPath();
  for (const [x0, y0, x1, y1] of lines) {
    pen.moveTo(Math.round(x0) + 0.5, Math.round(y0) + 0.5);
    pen.lineTo(Math.round(x1) + 0.5, Math.round(y1) + 0.5);
  }
  pen.stroke();
}

function drawFrame(pen, view) {
  const { axis, look } = view;
  pen.font = FONT;
  pen.textAlign = "center";
  const [left, right, top, bottom] = SIDES[axis];
  outlined(pen, left, 10, look.height / 2 + 4, INK);
  outlined(pen, top, look.width / 2, 15, INK);
  outlined(pen, right, look.width - 10, look.height / 2 + 4, INK);
  if (axis === "axial") outlined(pen, bottom, look.width / 2, look.height - 7, INK);
  const length = [100, 50, 20, 10, 5, 2, 1].find((mm) => mm * look.scale < look.width * 0.3) || 1;
  const x = 12;
  const y = look.height - 12;
  pen.strokeStyle = INK;
  pen.lineWidth = 1.5;
  pen.beginPath();
  pen.moveTo(x, y - 4);
  pen.lineTo(x, y);
  pen.lineTo(x + length * look.scale, y);
  pen.lineTo(x + length * look.scale, y - 4);
  pen.stroke();
  pen.textAlign = "left";
  outlined(pen, `${length} mm`, x + length * look.scale + 6, y + 1, INK);
}
