// The scan's axes on the screen: (z, y, x) in voxels and millimetres, and what is a row or column of each view.

// `across` is the axis a view looks along; `column` and `row` are axes of the array; the head is up, the front too.
export const AXES = {
  axial: { across: 0, row: 1, column: 2, up: false },
  coronal: { across: 1, row: 0, column: 2, up: true },
  sagittal: { across: 2, row: 0, column: 1, up: true },
};

export const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

// Where a view looks: `centre` in mm along (row, column), `scale` in pixels per mm, `width` and `height` in pixels.
export function toScreen(axis, spacing, look, point) {
  const { row, column, up } = AXES[axis];
  const x = (point[column] * spacing[column] - look.centre[1]) * look.scale + look.width / 2;
  const y = (point[row] * spacing[row] - look.centre[0]) * look.scale;
  return [x, look.height / 2 + (up ? -y : y)];
}

export function toVoxel(axis, spacing, look, x, y, depth) {
  const { across, row, column, up } = AXES[axis];
  const point = [0, 0, 0];
  const down = (y - look.height / 2) / look.scale;
  point[across] = depth;
  point[column] = ((x - look.width / 2) / look.scale + look.centre[1]) / spacing[column];
  point[row] = ((up ? -down : down) + look.centre[0]) / spacing[row];
  return point;
}

export function inside(shape, point) {
  return point.every((value, axis) => value > -0.5 && value < shape[axis] - 0.5);
}

export const nearest = (shape, point) => point.map((value, axis) => clamp(Math.round(value), 0, shape[axis] - 1));

export function distanceMm(spacing, a, b) {
  return Math.hypot(...a.map((value, axis) => (value - b[axis]) * spacing[axis]));
}
