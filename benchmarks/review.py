"""How long an expert waits: from opening a review to the first picture, from lesion to lesion, from key to new score.

python benchmarks/review.py [--slices 300] [--runs 3] [--no-browser]

A made scan of 512 x 512 voxels, as NIfTI and as DICOM, with sixty lesions; the server is `calcscore review` in a
process of its own, the browser Debian's Chromium without a screen. *start* is from the command to the printed address,
which comes once the first scan is at hand; *open scan* is the first picture of a scan that nobody has opened yet, its
copy prepared or not, in a running process; *first picture* is from opening the address. Seconds are medians.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from browsers import browser
from made_reviews import RECIPE, Served, asked, label

from calcscore_ml.anatomy import TITLES, Label
from calcscore_ml.geometry import Geometry
from calcscore_ml.io.dicom_write import write_dicom
from calcscore_ml.io.volumes import write_volume
from calcscore_ml.pipeline import score_labelled
from calcscore_ml.result import write_result
from calcscore_ml.review.slices import WINDOWS, cut, grey, to_png
from calcscore_ml.review.volumes import CACHE_FOLDER, Volumes, Wanted
from calcscore_ml.scan import Acquisition, Scan
from calcscore_ml.sources import Source, add_source, read_sources

LESIONS = 60


def made(slices: int, seed: int = 0) -> tuple[Scan, np.ndarray]:
    """A body of noise with sixty round calcifications in two columns of lesions."""
    rng = np.random.default_rng(seed)
    shape = (slices, 512, 512)
    hu = np.full(shape, -900, dtype=np.int16)
    hu[:, 60:450, 40:470] = rng.integers(20, 60, (slices, 390, 430), dtype=np.int16)
    labels = np.zeros(shape, dtype=np.uint8)
    for i in range(LESIONS):
        z, y, x = 5 + (i * (slices - 10)) // LESIONS, 150 + (i * 37) % 200, 150 + (i * 53) % 200
        block = (slice(z - 1, z + 2), slice(y - 3, y + 4), slice(x - 3, x + 4))
        hu[block], labels[block] = 250 + 5 * i, 1 + i % 4
    return Scan(hu, Geometry(shape, (1.0, 0.7, 0.7)), Acquisition(kvp=120.0, slice_thickness_mm=1.0)), labels


def results_of(scan: Scan, labels: np.ndarray, folder: Path, form: str, count: int = 1) -> Path:
    """A folder of results whose scan lies in one of two formats."""
    path = folder / f"scan-{form}"
    path = (
        write_volume(scan, path.with_suffix(".nii.gz")) if form == "nifti" else write_dicom(scan, path, uid_seed="made")
    )
    scored = score_labelled(scan, labels, RECIPE, scan_id="made")
    even = {TITLES[t]: 1 / len(Label) for t in Label}
    lesions = tuple(replace(n, referred=True, reason="made", probabilities=even) for n in scored.result.lesions)
    write_result(folder / "results" / "made", replace(scored.result, lesions=lesions), scored.calcium, "")
    add_source(folder / "results", "made", Source(Path(path)))
    return folder / "results"


def timed(act) -> float:  # noqa: ANN001
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def open_scan(results: Path, scan: Scan) -> float:
    """A scan that is opened for the first time, until its first picture."""
    wanted = Wanted(scan.geometry, scan.fingerprint(), read_sources(results)["made"])
    volumes = Volumes({"made": wanted}, results / CACHE_FOLDER)
    taken = timed(lambda: to_png(grey(cut(volumes.request("made").result(), "axial", 9), WINDOWS["calcium"])))
    volumes.close()
    volumes._readers.shutdown(wait=True)
    return taken


def over_http(results: Path) -> dict[str, float]:
    """One server: its start, its first picture, a lesion's three pictures, a decision."""
    begin = time.perf_counter()
    with Served(results) as server, server.client() as client:
        out = {"start": time.perf_counter() - begin}
        told = client.get("/api/scan", params={"scan": "made"}).json()

        def picture(axis: str, index: int) -> None:
            client.get("/api/slice", params={"scan": "made", "axis": axis, "index": index}).raise_for_status()

        first = told["lesions"][0]["peak"]
        out["first picture"] = timed(lambda: picture("axial", first[0]))
        following = [n["peak"] for n in told["lesions"][1:12]]
        axes = ("axial", "coronal", "sagittal")
        out["next lesion"] = statistics.median(
            timed(lambda p=p: [picture(a, i) for a, i in zip(axes, p, strict=True)]) for p in following
        )
        keys = [n["key"] for n in told["lesions"]]
        out["decision"] = statistics.median(
            timed(
                lambda i=i: client.post("/api/decide", json=asked("made", i, label(keys[i], i % 8))).raise_for_status()
            )
            for i in range(20)
        )
    return out


def in_browser(results: Path, folder: Path) -> dict[str, float]:
    """The same as a page sees it, from its own marks: opened to picture, key to picture of the next, key to score."""
    with Served(results) as server, browser(folder) as page:
        page.open(server.addresses["anna"])
        page.ready()
        mark = "return performance.getEntriesByName(arguments[0]).map(e => e.startTime)"
        out = {"first picture": page.run(mark, "seen")[0] / 1000}
        for number in range(12):
            page.keys(str(number % 8))
            page.until(lambda n=number: len(page.run(mark, "rescored")) > n and len(page.run(mark, "seen")) > n + 1)
        decided, scored, seen = (page.run(mark, name) for name in ("decided", "rescored", "seen"))
        out["decision"] = statistics.median(b - a for a, b in zip(decided, scored, strict=True)) / 1000
        out["next lesion"] = statistics.median(b - a for a, b in zip(scored, seen[1:], strict=True)) / 1000
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--no-browser", action="store_true")
    options = parser.parse_args()
    columns = ("start", "open scan", "first picture", "next lesion", "decision")
    print(f"512 x 512 x {options.slices}, {LESIONS} lesions; median of {options.runs} runs; seconds\n")
    print(f"| seen from | scan | copy | {' | '.join(columns)} |\n|{'---|' * 8}")
    scan, labels = made(options.slices)
    for form in ("nifti", "dicom"):
        with tempfile.TemporaryDirectory() as folder:
            results = results_of(scan, labels, Path(folder), form)
            copies, store = results / ".review-cache", results / "decisions.sqlite"
            for copy in ("none", "prepared"):
                for seen_from in ("HTTP", *(() if options.no_browser else ("browser",))):
                    runs = []
                    for run in range(options.runs):
                        store.unlink(missing_ok=True)
                        if copy == "none":
                            shutil.rmtree(copies, ignore_errors=True)
                        opened = {} if seen_from == "browser" else {"open scan": open_scan(results, scan)}
                        if copy == "none":
                            shutil.rmtree(copies, ignore_errors=True)
                        profile = Path(folder) / f"profile-{run}"
                        runs.append(opened | (over_http(results) if opened else in_browser(results, profile)))
                    cells = [f"{statistics.median(r[c] for r in runs):.3f}" if c in runs[0] else "" for c in columns]
                    print(f"| {seen_from} | {form} | {copy} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
