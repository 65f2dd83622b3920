"""Time and centreline distance of the registration in `calcscore_ml.heart.locate`, beside elastix on the same pairs.

python benchmarks/location.py COHORT [--atlases FOLDER] [--scans 6] [--elastix-python PATH]

Each scan is registered to all atlases by both engines in turn, from the same start, on the same coarse copies, as
many atlases at a time, one thread each. Arteries are the atlases' centrelines carried to the scan, their mean.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from calcscore_ml.anatomy import ARTERIES, Label
from calcscore_ml.heart.atlas import DEFAULT, Atlas, read_atlases
from calcscore_ml.heart.grid import F32, Copy, extent_mm, within
from calcscore_ml.heart.labelled import read_labelled
from calcscore_ml.heart.lines import resample_line
from calcscore_ml.heart.locate import best_start, locate
from calcscore_ml.heart.registration import Affine, Registration, region, register, similarity_of
from calcscore_ml.manifest import ManifestRow, read_manifest

NO_ELASTIX = """
elastix was not measured: it needs an interpreter of its own, as in
    python -m venv elastix && elastix/bin/pip install itk-elastix
    python benchmarks/location.py COHORT --elastix-python elastix/bin/python"""

PEERS = {"default": "affine, B-spline", "plain": "affine, B-spline without its bending penalty"}
"""Parameter maps of elastix, see `benchmarks/elastix_peer.py`."""

DENSE = 401
"""Points at which a found centreline is compared."""

Lines = dict[Label, np.ndarray]


@dataclass
class Engine:
    """What was measured of one engine: a number per scan, and a distance per artery of each scan [mm]."""

    name: str
    seconds: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    lines: list[Lines | None] = field(default_factory=list)
    pairs_failed: int = 0
    similarities: list[float] = field(default_factory=list)

    def row(self, truths: list[Lines], used: list[int], pairs: int) -> str:
        distances = [centreline_distance(truths[i][a], self.lines[i][a]) for i in used for a in truths[i]]  # type: ignore[index]
        found = f"{np.mean(distances):.2f} | {np.percentile(distances, 95):.2f}" if distances else "- | -"
        failed = sum(lines is None for lines in self.lines)
        alike = f"{np.mean(self.similarities):.3f}" if self.similarities else "-"
        tries = f"{self.pairs_failed} of {pairs}" if self.seconds else "-"
        return f"| {self.name} | {span(self.seconds)} | {span(self.whole)} | {found} | {alike} | {tries} | {failed} |"


def centreline_distance(truth: np.ndarray, found: np.ndarray) -> float:
    """Mean distance of an (n, 3) true centreline's points to a found one, (m, 3) [mm]."""
    return float(cKDTree(resample_line(found, DENSE)).query(truth)[0].mean())


def span(seconds: Sequence[float]) -> str:
    if not seconds:
        return "-"
    return f"{statistics.median(seconds):.2f} [{min(seconds):.2f}-{max(seconds):.2f}]"


def mean_lines(registered: Sequence[tuple[Atlas, Registration]], atlases: int) -> Lines | None:
    """Carry the arteries to the scan; None when more than half of the atlases failed, as `locate` has it."""
    good = [(a, r) for a, r in registered if not r.failure]
    if 2 * len(good) < atlases:
        return None
    return {label: np.mean([r.to_scan(a.centrelines[label]) for a, r in good], axis=0) for label in ARTERIES}


class Elastix:
    """elastix in a process of its own, `benchmarks/elastix_peer.py`."""

    def __init__(self, python: str, threads: int) -> None:
        script = Path(__file__).with_name("elastix_peer.py")
        self.process = subprocess.Popen(
            [python, str(script), "--threads", str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        )
        self.version = self._answer()["version"]

    def __call__(
        self, variant: str, copy: Copy, atlases: Sequence[Atlas], starts: list[Affine]
    ) -> tuple[float, list[Registration]]:
        """Register one scan to all atlases: seconds of registering alone, and what came of it."""
        ask = {"variant": variant, "atlases": len(atlases)}
        grid = copy.grid
        case = {"hu": copy.hu, "known": copy.known, "lower_mm": grid.lower_mm[::-1], "step_mm": grid.step_mm}
        for k, (atlas, start) in enumerate(zip(atlases, starts, strict=True)):
            case |= {
                f"atlas_{k}": atlas.hu,
                f"matrix_{k}": start.matrix[::-1, ::-1],
                f"offset_{k}": start.offset_mm[::-1],
            }
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "scan.npz"
            np.savez(path, **case)
            assert self.process.stdin is not None
            self.process.stdin.write(json.dumps(ask | {"path": str(path)}) + "\n")
            self.process.stdin.flush()
            answer = self._answer()
            with np.load(path) as file:
                fields = {int(k): file[k] for k in file.files}
        found = []
        for k, atlas in enumerate(atlases):
            if k in fields:
                found.append(registration_of(fields[k], copy, atlas))
            else:
                nothing = np.zeros((3, *grid.shape), dtype=np.float32)
                found.append(Registration(starts[k], grid, nothing, 0.0, answer["failures"][k]))
        return answer["seconds"], found

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def _answer(self) -> dict:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("elastix ended before it answered; see its message above")
        return json.loads(line)


def registration_of(moves: F32, copy: Copy, atlas: Atlas) -> Registration:
    """Make a `Registration` of a field (nz, ny, nx, 3), along (x, y, z), that takes voxels of the scan to the atlas.

    Its affine part is fitted, so that points a little beyond the grid are carried as ours are. It fails below the
    correlation at which ours does.
    """
    grid = copy.grid
    points = grid.points()
    goal = points + moves[..., ::-1].reshape(-1, 3)
    fit = np.linalg.lstsq(np.column_stack([points, np.ones(len(points))]), goal, rcond=None)[0]
    affine = Affine(fit[:3].T, fit[3])
    displacement = (affine.inverse(goal) - points).T.reshape(3, *grid.shape).astype(np.float32)
    plain = Registration(affine, grid, displacement, 0.0)
    similarity = similarity_of(plain, copy, atlas)
    low = similarity < atlas.settings.least_similarity
    return replace(plain, similarity=similarity, failure=f"correlation with the atlas {similarity:.2f}" if low else "")


def rows_of(cohort: Path, count: int) -> list[ManifestRow]:
    """Choose scans evenly; organs and centrelines are looked for beside an image when the manifest does not say."""
    manifest = cohort / "data_manifest.csv"
    if manifest.is_file():
        rows = list(read_manifest(manifest))
    else:
        images = sorted(cohort.glob("*/image.nii.gz"))
        rows = [ManifestRow(i.parent.name, i.parent.name, "", i) for i in images]
    rows = [
        replace(
            r,
            labels=None,
            organs=r.organs or r.image.with_name("organs.nii.gz"),
            centrelines=r.centrelines or r.image.with_name("centrelines.csv"),
        )
        for r in rows
    ]
    rows = [r for r in rows if r.organs.is_file() and r.centrelines.is_file()]  # type: ignore[union-attr]
    if not rows:
        raise SystemExit(
            f"scans need organs.nii.gz and centrelines.csv beside their image.nii.gz, got none in {cohort}"
        )
    at = np.linspace(0, len(rows) - 1, min(count, len(rows)))
    return [rows[int(i)] for i in at]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cohort", type=Path, help="folder with a data_manifest.csv, or of folders with image.nii.gz")
    parser.add_argument("--atlases", default=DEFAULT, help="folder of atlases; those of the package when not given")
    parser.add_argument("--scans", type=int, default=6)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--elastix-python", help="an interpreter with itk-elastix")
    parser.add_argument("--elastix-maps", nargs="+", choices=PEERS, default=list(PEERS))
    options = parser.parse_args()
    atlases = read_atlases(options.atlases)
    rows = rows_of(options.cohort, options.scans)
    ours, theirs = Engine("calcscore-ml: affine, demons"), {}
    peer = Elastix(options.elastix_python, options.threads) if options.elastix_python else None
    if peer is not None:
        theirs = {v: Engine(f"itk-elastix {peer.version}: {PEERS[v]}") for v in options.elastix_maps}
    engines = [Engine("start boxes alone"), ours, *theirs.values()]
    truths: list[Lines] = []
    load = [os.getloadavg()[0]]
    for row in rows:
        labelled = read_labelled(row)
        scan, extent = labelled.scan, extent_mm(labelled.scan)
        began = time.perf_counter()
        location = locate(scan, atlases, threads=options.threads)
        ours.whole.append(time.perf_counter() - began)
        boxes = [b.as_array() for b in location.starts.values() if b is not None]
        if not boxes:
            print(f"{row.scan_id} left out: {location.remark}")
            continue
        box = best_start(scan, boxes, atlases[0])
        starts = [Affine.between(box, a.box_mm) for a in atlases]
        settings = atlases[0].settings
        copy = Copy.of(scan, region(scan, box, settings), settings.window_hu)
        began = time.perf_counter()
        with ThreadPoolExecutor(options.threads) as pool:
            found = list(pool.map(partial(register, copy), atlases, starts))
        ours.seconds.append(time.perf_counter() - began)
        plain = np.zeros((3, *copy.grid.shape), dtype=np.float32)
        results = [[Registration(s, copy.grid, plain, 0.0) for s in starts], found]
        for variant, engine in theirs.items():
            assert peer is not None
            seconds, found = peer(variant, copy, atlases, starts)
            engine.seconds.append(seconds)
            results.append(found)
        for engine, registered in zip(engines, results, strict=True):
            if engine.seconds:
                engine.similarities += [r.similarity for r in registered]
            engine.pairs_failed += sum(bool(r.failure) for r in registered)
            engine.lines.append(mean_lines(list(zip(atlases, registered, strict=True)), len(atlases)))
        inside = {a: b[0][within(b[0], 0.0, extent)] for a, b in labelled.branches.items()}
        truths.append({a: line for a, line in inside.items() if len(line)})
        print(row.scan_id, *(f"{e.seconds[-1]:.1f} s" for e in engines[1:]), file=sys.stderr, flush=True)
        load.append(os.getloadavg()[0])
    if peer is not None:
        peer.close()
    used = [i for i in range(len(truths)) if all(e.lines[i] is not None for e in engines)]
    arteries = sum(len(truths[i]) for i in used)
    print(
        f"{os.cpu_count()} cores, {options.threads} atlases at a time, load {min(load):.1f} to {max(load):.1f}; ",
        end="",
    )
    print(f"{len(atlases)} atlases, voxels of {atlases[0].grid.step_mm:g} mm; {len(truths)} scans;", end=" ")
    print("seconds are median [range],")
    print(f"distances over {arteries} arteries of the {len(used)} scans on which no engine failed\n")
    print("| engine | registering, s | `locate`, s | mean, mm | 95 %, mm | correlation | pairs failed | scans failed |")
    print("|" + "---|" * 8)
    for engine in engines:
        print(engine.row(truths, used, len(truths) * len(atlases)))
    if peer is None:
        print(NO_ELASTIX)


if __name__ == "__main__":
    main()
