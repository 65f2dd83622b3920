"""Layers painted over one another: from signed distances to HU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from calcscore_ml.phantom.canvas import F32, Grid, Tube, cone_distance, lerp_matrix

AIR_HU = -1000.0
"""What an unpainted voxel holds [HU]."""


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """A field and what to fill it with.

    Parameters
    ----------
    grid : Grid
        Where the field is sampled.
    distance : (nz, ny, nx) array of float32
        Signed distance [mm].
    hu : float or (nz, ny, nx) array of float32
        Fill, or its value at each sample of the grid.
    edge_mm : float
        Width of the edge: a voxel at distance 0 is half filled.
    shell_mm : float or None
        When given, only a shell of this thickness around the surface is filled.
    opacity : float
        Greatest share of a voxel that is filled.
    """

    grid: Grid
    distance: F32
    hu: float | F32
    edge_mm: float = 1.0
    shell_mm: float | None = None
    opacity: float = 1.0

    def crop(self) -> Layer | None:
        """Cut the layer to where it paints; None when it paints nothing."""
        near = self.distance < self.edge_mm + (self.shell_mm or 0.0)
        window = []
        for axis in range(3):
            hit = np.flatnonzero(near.any(axis=tuple(a for a in range(3) if a != axis)))
            if not len(hit):
                return None
            window.append(slice(max(int(hit[0]) - 1, 0), int(hit[-1]) + 2))
        at = (window[0], window[1], window[2])
        hu = self.hu if isinstance(self.hu, float) else self.hu[at]
        return Layer(self.grid.crop(at), self.distance[at], hu, self.edge_mm, self.shell_mm, self.opacity)


def compact(layers: Sequence[Layer]) -> list[Layer]:
    """Cut layers to where they paint, copied so that the rest can be freed; layers that paint nothing are dropped."""
    kept = []
    for layer in layers:
        cut = layer.crop()
        if cut is not None:
            hu = cut.hu if isinstance(cut.hu, float) else np.array(cut.hu, dtype=np.float32)
            kept.append(replace(cut, distance=np.array(cut.distance, dtype=np.float32), hu=hu))
    return kept


def render(layers: Sequence[Layer], grid: Grid) -> F32:
    """Paint layers in order on a fine grid.

    Parameters
    ----------
    layers : sequence of Layer
        Later ones cover earlier ones.
    grid : Grid
        Where HU are wanted.

    Returns
    -------
    (nz, ny, nx) array of float32
        HU, `AIR_HU` where nothing was painted.
    """
    volume = np.full(grid.shape, np.float32(AIR_HU))
    for layer in layers:
        cut = layer.crop()
        if cut is not None:
            _paint_layer(volume, grid, cut)
    return volume


def paint_tube(
    volume: F32,
    grid: Grid,
    shape: Tube,
    hu: float,
    *,
    edge_mm: float = 1.0,
    squash_z: float = 1.0,
    grow_mm: float = 0.0,
) -> None:
    """Paint a thin tube straight onto the fine grid, link by link.

    Parameters
    ----------
    volume : (nz, ny, nx) array of float32
        Changed in place.
    grid : Grid
        Of the volume.
    shape : Tube
        What to paint.
    hu : float
        Fill.
    edge_mm : float
        Width of the edge.
    squash_z : float
        Below 1, the section is that much taller than wide, as a rib's is.
    grow_mm : float
        Added to every radius; negative for the marrow inside a cortex.
    """
    scale = np.array([squash_z, 1.0, 1.0])
    for link in shape.segments():
        ra, rb = (float(r) + grow_mm for r in link.radii)
        if max(ra, rb) <= 0:
            continue
        margin = (max(ra, rb) + edge_mm) / scale
        window = grid.window(link.points.min(axis=0) - margin, link.points.max(axis=0) + margin)
        if any(s.stop <= s.start for s in window):
            continue
        z, y, x = grid.crop(window).mesh
        a, b = link.points * scale
        blend(volume[window], cone_distance(z * np.float32(squash_z), y, x, a, b, ra, rb), hu, edge_mm)


def blend(target: F32, distance: F32, hu: float | F32, edge_mm: float) -> None:
    """Fill `target` in place where `distance` is below zero, with an edge of `edge_mm`."""
    share = np.clip(np.float32(0.5) - distance * np.float32(1 / edge_mm), 0, 1)
    share *= np.asarray(hu, dtype=np.float32) - target
    target += share


def _paint_layer(volume: F32, grid: Grid, layer: Layer) -> None:
    source = layer.grid
    low = (source.z[0], source.y[0], source.x[0])
    high = (source.z[-1], source.y[-1], source.x[-1])
    window = grid.window(low, high)
    if any(s.stop <= s.start for s in window):
        return
    wz = lerp_matrix(grid.z[window[0]], source.z)
    wy = lerp_matrix(grid.y[window[1]], source.y)
    wx = np.ascontiguousarray(lerp_matrix(grid.x[window[2]], source.x).T)
    reach = layer.edge_mm + (layer.shell_mm or 0.0)
    for k, weights in enumerate(wz):
        plane = _between(layer.distance, weights)
        if plane.min() > reach:
            continue
        distance = wy @ plane @ wx
        if layer.shell_mm is not None:
            distance = np.abs(distance) - np.float32(layer.shell_mm / 2)
        target = volume[window[0].start + k, window[1], window[2]]
        share = np.clip(np.float32(0.5) - distance * np.float32(1 / layer.edge_mm), 0, np.float32(layer.opacity))
        if isinstance(layer.hu, float):
            share *= np.float32(layer.hu) - target
        else:
            share *= wy @ _between(layer.hu, weights) @ wx - target
        target += share


def _between(samples: F32, weights: F32) -> F32:
    used = np.flatnonzero(weights)
    if len(used) == 1:
        return np.asarray(samples[used[0]])
    return np.asarray(samples[used[0]] * weights[used[0]] + samples[used[1]] * weights[used[1]])
