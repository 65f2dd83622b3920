// A slice of the scan on a canvas: where it looks, and what a mouse does in it.

import { drawSlice } from "./drawing.js";
import { load, atHand } from "./pictures.js";
import { session, tell } from "./session.js";
import { AXES, clamp, nearest, toScreen, toVoxel } from "./space.js";

const CLOSE_MM = { axial: 72, coronal: 62, sagittal: 62 };
const NOTCH = 50; // of a wheel, in pixels
const ZOOM_STEP = 1.25;
const LEAST_MM = 8;

export class SliceView {
  constructor(canvas, axis) {
    this.canvas = canvas;
    this.axis = axis;
    this.look = { centre: [0, 0], scale: 1, width: 1, height: 1 };
    this.shown = null; // the slice that is on the canvas
    this.error = "";
    this.rolled = 0;
    new ResizeObserver(() => this.resize()).observe(canvas);
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("pointerdown", (event) => this.press(event));
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  get index() {
    return Math.round(session.cursor[AXES[this.axis].across]);
  }

  get ready() {
    const now = session.scan;
    return Boolean(now && this.shown === JSON.stringify([now.scan, this.index, session.window]));
  }

  resize() {
    const ratio = window.devicePixelRatio || 1;
    const { clientWidth, clientHeight } = this.canvas;
    if (!clientWidth || !clientHeight) return;
    const before = this.look.width;
    this.canvas.width = Math.round(clientWidth * ratio);
    this.canvas.height = Math.round(clientHeight * ratio);
    if (before > 1) this.look.scale *= clientWidth / before;
    this.look.width = clientWidth;
    this.look.height = clientHeight;
    this.draw();
  }

  // Look at a point closely.
  focusOn(point, widthMm = CLOSE_MM[this.axis]) {
    const { row, column } = AXES[this.axis];
    const { spacing } = session.scan;
    this.look.centre = [point[row] * spacing[row], point[column] * spacing[column]];
    this.look.scale = Math.min(this.look.width, this.look.height) / widthMm;
    this.draw();
  }

  // Look at the whole slice.
  fit() {
    const { row, column } = AXES[this.axis];
    const { spacing, shape } = session.scan;
    this.look.centre = [((shape[row] - 1) / 2) * spacing[row], ((shape[column] - 1) / 2) * spacing[column]];
    const high = this.look.height / (shape[row] * spacing[row]);
    this.look.scale = Math.min(high, this.look.width / (shape[column] * spacing[column]));
    this.draw();
  }

  zoom(steps, about = null) {
    const { width, height, scale } = this.look;
    const [x, y] = about || toScreen(this.axis, session.scan.spacing, this.look, session.cursor);
    const held = [clamp(x, 0, width), clamp(y, 0, height)];
    const before = toVoxel(this.axis, session.scan.spacing, this.look, held[0], held[1], this.index);
    const largest = Math.min(width, height) / LEAST_MM;
    this.look.scale = clamp(scale * ZOOM_STEP ** steps, largest / 150, largest);
    const after = toScreen(this.axis, session.scan.spacing, this.look, before);
    this.pan(after[0] - held[0], after[1] - held[1]);
  }

  // Move what is seen, by pixels.
  pan(right, down) {
    const { up } = AXES[this.axis];
    this.look.centre[1] += right / this.look.scale;
    this.look.centre[0] += ((up ? -1 : 1) * down) / this.look.scale;
    this.draw();
  }

  // Go through the slices; up the screen is towards the head, the front and the patient's right.
  scroll(slices) {
    const { across } = AXES[this.axis];
    const moved = [...session.cursor];
    moved[across] = clamp(Math.round(moved[across]) + slices, 0, session.scan.shape[across] - 1);
    session.cursor = moved;
    tell("cursor");
  }

  // Move the cursor within the slice, by voxels on the screen.
  move(right, down) {
    const { row, column, up } = AXES[this.axis];
    const moved = [...session.cursor];
    moved[column] += right;
    moved[row] += up ? -down : down;
    session.cursor = nearest(session.scan.shape, moved);
    this.keepInSight();
    tell("cursor");
  }

  keepInSight() {
    const [x, y] = toScreen(this.axis, session.scan.spacing, this.look, session.cursor);
    const margin = 24;
    const right = Math.max(x - (this.look.width - margin), 0) + Math.min(x - margin, 0);
    const down = Math.max(y - (this.look.height - margin), 0) + Math.min(y - margin, 0);
    if (right || down) this.pan(right, down);
  }

  pointAt(event) {
    const box = this.canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    return toVoxel(this.axis, session.scan.spacing, this.look, x, y, this.index);
  }

  wheel(event) {
    event.preventDefault();
    if (!session.scan) return;
    const box = this.canvas.getBoundingClientRect();
    if (event.ctrlKey) {
      this.zoom(event.deltaY < 0 ? 1 : -1, [event.clientX - box.left, event.clientY - box.top]);
      return;
    }
    this.rolled += event.deltaMode === 0 ? event.deltaY : event.deltaY * NOTCH;
    const notches = Math.trunc(this.rolled / NOTCH);
    if (!notches) return;
    this.rolled -= notches * NOTCH;
    this.scroll(clamp(-notches, -3, 3));
  }

  press(event) {
    if (!session.scan) return;
    this.canvas.focus();
    event.preventDefault();
    this.canvas.setPointerCapture(event.pointerId);
    let [x, y] = [event.clientX, event.clientY];
    let moved = 0;
    const brushing = session.tool?.brushes && event.button === 0;
    if (brushing) session.tool.at(this, this.pointAt(event), "start");
    const follow = (next) => {
      const [right, down] = [next.clientX - x, next.clientY - y];
      moved += Math.abs(right) + Math.abs(down);
      [x, y] = [next.clientX, next.clientY];
      if (brushing) session.tool.at(this, this.pointAt(next), "drag");
      else if (moved > 3) this.pan(-right, -down);
    };
    const end = (last) => {
      this.canvas.removeEventListener("pointermove", follow);
      if (moved > 3 || brushing || last.type === "pointercancel") return;
      session.cursor = nearest(session.scan.shape, this.pointAt(last));
      tell("cursor");
      if (session.tool) session.tool.at(this, session.cursor, "click");
    };
    this.canvas.addEventListener("pointermove", follow);
    this.canvas.addEventListener("pointerup", end, { once: true });
    this.canvas.addEventListener("pointercancel", end, { once: true });
  }

  // Show the slice at the cursor; what is there is never another one than what is said.
  draw() {
    const now = session.scan;
    if (!now) return;
    const wanted = JSON.stringify([now.scan, this.index, session.window]);
    const bitmap = atHand(now.scan, this.axis, this.index, session.window);
    if (!bitmap) {
      if (this.waiting !== wanted) {
        this.waiting = wanted;
        this.fetch(wanted, now.scan, this.index, session.window);
      }
    } else {
      this.error = "";
    }
    drawSlice(this, bitmap);
    const was = this.shown;
    this.shown = bitmap ? wanted : null;
    if (was !== this.shown) tell("picture");
  }

  async fetch(wanted, scan, index, windowName) {
    try {
      await load(scan, this.axis, index, windowName);
      this.error = "";
    } catch (error) {
      this.error = error.message;
    }
    if (this.waiting === wanted) this.waiting = null;
    if (!this.error) this.draw();
    else tell("picture");
  }
}
