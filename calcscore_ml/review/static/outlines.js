// Where lesions lie in a slice: their voxels by slice, and the edges around them.

import { AXES } from "./space.js";

// Voxels (z, y, x, z, y, x, ...) of one lesion, found by slice of each axis.
export class Shape {
  constructor(voxels, excluded = []) {
    this.voxels = voxels;
    this.excluded = new Set(excluded);
    this.count = voxels.length / 3;
    this.bySlice = new Map();
  }

  at(position) {
    return this.voxels.slice(3 * position, 3 * position + 3);
  }

  has(z, y, x) {
    for (let i = 0; i < this.voxels.length; i += 3) {
      if (this.voxels[i] === z && this.voxels[i + 1] === y && this.voxels[i + 2] === x) return true;
    }
    return false;
  }

  // Cells of a slice: [row, column, position].
  cells(axis, index) {
    if (!this.bySlice.has(axis)) {
      const { across, row, column } = AXES[axis];
      const slices = new Map();
      for (let position = 0; position < this.count; position += 1) {
        const at = 3 * position;
        const slice = this.voxels[at + across];
        if (!slices.has(slice)) slices.set(slice, []);
        slices.get(slice).push([this.voxels[at + row], this.voxels[at + column], position]);
      }
      this.bySlice.set(axis, slices);
    }
    return this.bySlice.get(axis).get(index) || [];
  }

  kept(axis, index) {
    return this.cells(axis, index).filter(([, , position]) => !this.excluded.has(position));
  }
}

// Edges between cells and what is not among them: [row, column, row, column] in voxels, a cell reaching half a voxel.
export function edges(cells) {
  const present = new Set(cells.map(([row, column]) => `${row},${column}`));
  const found = [];
  for (const [r, c] of cells) {
    if (!present.has(`${r - 1},${c}`)) found.push([r - 0.5, c - 0.5, r - 0.5, c + 0.5]);
    if (!present.has(`${r + 1},${c}`)) found.push([r + 0.5, c - 0.5, r + 0.5, c + 0.5]);
    if (!present.has(`${r},${c - 1}`)) found.push([r - 0.5, c - 0.5, r + 0.5, c - 0.5]);
    if (!present.has(`${r},${c + 1}`)) found.push([r - 0.5, c + 0.5, r + 0.5, c + 0.5]);
  }
  return found;
}
