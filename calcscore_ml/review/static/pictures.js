// Slices as bitmaps: asked for once, kept while they are among the last, and fetched before they are needed.

import { Away, getBlob } from "./api.js";

const KEPT = 160;
const AHEAD_AT_A_TIME = 3;
const AGAIN_MS = 700;

const kept = new Map();
const asked = new Map();
const ahead = [];
let running = 0;

const keyOf = (scan, axis, index, window) => JSON.stringify([scan, axis, index, window]);

function keep(key, bitmap) {
  kept.set(key, bitmap);
  while (kept.size > KEPT) {
    const [oldest, old] = kept.entries().next().value;
    kept.delete(oldest);
    old.close();
  }
}

// A picture at hand, or undefined.
export function atHand(scan, axis, index, window) {
  const key = keyOf(scan, axis, index, window);
  const found = kept.get(key);
  if (found) {
    kept.delete(key);
    kept.set(key, found);
  }
  return found;
}

export function load(scan, axis, index, window) {
  const key = keyOf(scan, axis, index, window);
  const found = atHand(scan, axis, index, window);
  if (found) return Promise.resolve(found);
  if (!asked.has(key)) {
    const path = axis.startsWith("heart ") ? "/api/heart" : "/api/slice";
    const query = axis.startsWith("heart ") ? { scan, axis: axis.slice(6) } : { scan, axis, index, window };
    const made = fetchPicture(path, query).then((bitmap) => {
      keep(key, bitmap);
      return bitmap;
    });
    asked.set(key, made);
    made.catch(() => {}).finally(() => asked.delete(key));
  }
  return asked.get(key);
}

async function fetchPicture(path, query) {
  for (;;) {
    try {
      return await createImageBitmap(await getBlob(path, query));
    } catch (error) {
      if (!(error instanceof Away) || !error.reading) throw error;
      await new Promise((done) => { setTimeout(done, AGAIN_MS); });
    }
  }
}

// Fetch pictures that will be wanted soon, the most urgent first; what was wanted before is forgotten.
export function prefetch(wanted) {
  ahead.length = 0;
  ahead.push(...wanted);
  pump();
}

function pump() {
  while (running < AHEAD_AT_A_TIME && ahead.length) {
    const [scan, axis, index, window] = ahead.shift();
    const key = keyOf(scan, axis, index, window);
    if (kept.has(key) || asked.has(key)) continue;
    running += 1;
    load(scan, axis, index, window).catch(() => {}).finally(() => {
      running -= 1;
      pump();
    });
  }
}
