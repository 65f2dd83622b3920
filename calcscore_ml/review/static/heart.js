// The whole heart, as the highest value through it: where the lesion lies, and where arteries are expected.

import { outlined, CHOSEN } from "./drawing.js";
import { load } from "./pictures.js";
import { labelOf, lesion, on, session, tell } from "./session.js";
import { AXES } from "./space.js";
import { byId, say } from "./dom.js";

const FROM = { coronal: "front", axial: "below" };
let shown = "";

export function startHeart() {
  const canvas = byId("heart");
  new ResizeObserver(draw).observe(canvas);
  on("scan lesion overlay heart", draw);
}

export function turnHeart() {
  session.heart = session.heart === "coronal" ? "axial" : "coronal";
  tell("heart");
}

async function draw() {
  const now = session.scan;
  const canvas = byId("heart");
  const { clientWidth: width, clientHeight: height } = canvas;
  if (!now || !width || !height) return;
  const wanted = `${now.scan} ${session.heart}`;
  let bitmap;
  try {
    bitmap = await load(now.scan, `heart ${session.heart}`, 0, "calcium");
  } catch {
    return; // the axial view tells what is wrong
  }
  if (session.scan !== now || wanted !== `${session.scan.scan} ${session.heart}`) return;
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.fillStyle = "#000";
  pen.fillRect(0, 0, width, height);

  const { row, column, up } = AXES[session.heart];
  const { lower, upper } = now.heart;
  const size = (axis) => (upper[axis] - lower[axis]) * now.spacing[axis];
  const scale = Math.min(width / size(column), height / size(row));
  const [left, top] = [(width - size(column) * scale) / 2, (height - size(row) * scale) / 2];
  const place = (point) => {
    const x = (point[column] + 0.5 - lower[column]) * now.spacing[column] * scale;
    const y = (point[row] + 0.5 - lower[row]) * now.spacing[row] * scale;
    return [left + x, top + (up ? size(row) * scale - y : y)];
  };
  pen.globalAlpha = 0.62;
  pen.drawImage(bitmap, left, top, size(column) * scale, size(row) * scale);
  pen.globalAlpha = 1;
  if (session.overlay) drawPaths(pen, now, place);
  drawSpots(pen, now, place);
  shown = wanted;
  canvas.dataset.shown = shown;
  say("heart-where", `Heart, ${FROM[session.heart]}`);
  const about = lesion() ? `lesion ${lesion().key} marked` : "no lesion marked";
  canvas.setAttribute("aria-label", `Heart from the ${FROM[session.heart]} with expected arteries, ${about}`);
}

function drawPaths(pen, now, place) {
  pen.lineJoin = "round";
  pen.font = "11px system-ui, sans-serif";
  pen.textAlign = "left";
  for (const [name, { colour, path }] of Object.entries(now.arteries)) {
    pen.beginPath();
    path.forEach((point, i) => (i ? pen.lineTo(...place(point)) : pen.moveTo(...place(point))));
    pen.strokeStyle = colour;
    pen.lineWidth = 1.5;
    pen.globalAlpha = 0.85;
    pen.stroke();
    pen.globalAlpha = 1;
    const [x, y] = place(path[Math.floor(path.length * 0.7)]);
    outlined(pen, name, x + 4, y, colour);
  }
}

function drawSpots(pen, now, place) {
  for (const found of now.lesions) {
    const [x, y] = place(found.centre);
    const chosen = found.key === session.key;
    pen.beginPath();
    pen.arc(x, y, chosen ? 8 : 2.5, 0, 7);
    pen.lineWidth = chosen ? 2.5 : 1;
    pen.strokeStyle = chosen ? CHOSEN : "rgba(0, 0, 0, 0.7)";
    pen.fillStyle = labelOf(found.label).colour;
    if (!chosen) pen.fill();
    pen.stroke();
  }
}
