"""Small scans with results to be reviewed, and a server that serves them in a process of its own."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np

from calcscore_ml.anatomy import TITLES, Label
from calcscore_ml.geometry import Geometry
from calcscore_ml.io.volumes import write_volume
from calcscore_ml.pipeline import score_labelled
from calcscore_ml.recipe import parse_recipe
from calcscore_ml.result import Driver, write_result
from calcscore_ml.scan import Acquisition, Scan
from calcscore_ml.sources import Source, add_source

SHAPE, SPACING = (20, 80, 96), (2.5, 0.7, 0.7)

BLOBS = (
    # centre (z, y, x), radius in mm, HU, label; 0 is in the scan and in no list
    ((10, 30, 40), 2.6, 420, Label.LAD),
    ((8, 50, 20), 2.2, 360, Label.RCA),
    ((12, 30, 60), 2.4, 520, Label.LAD),
    ((12, 36, 64), 2.4, 540, Label.LAD),  # merges with the one before
    ((14, 20, 80), 2.4, 300, Label.AORTA),
    ((6, 62, 50), 1.9, 250, Label.LCX),
    ((4, 44, 60), 2.3, 330, Label.AORTIC_VALVE),
    ((15, 62, 76), 2.4, 380, Label.OTHER),
)

MISSED = (15, 62, 76)
"""A voxel of the lesion that no result lists."""

BONE = (10, 75, 50)
"""A voxel of something larger than a lesion may be."""

MERGED = ((12, 30, 60), (12, 36, 64))
"""The centres of two things in one lesion."""

PATHS = {
    Label.LAD: np.stack([np.arange(20.0), np.full(20, 29.0), np.full(20, 59.0)], axis=1),
    Label.LCX: np.stack([np.arange(20.0), np.full(20, 37.0), np.full(20, 65.0)], axis=1),
}

RECIPE = parse_recipe(
    {"name": "made", "location": {"atlases": ""}, "candidates": {"max_volume_mm3": 1000.0}}, "the tests"
)


def made_scan(seed=0):
    """Soft tissue with noise, round calcifications and something like a bone; and the labels of what is listed."""
    rng = np.random.default_rng(seed)
    hu = rng.normal(40, 8, SHAPE)
    labels = np.zeros(SHAPE, dtype=np.uint8)
    grid = np.indices(SHAPE).transpose(1, 2, 3, 0)
    for centre, radius, value, label in BLOBS:
        away = np.linalg.norm((grid - centre) * SPACING, axis=-1)
        inside = away <= radius
        hu[inside] = value - 20 * away[inside] + rng.normal(0, 4, int(inside.sum()))
        labels[inside] = label
    hu[:, 72:78, 30:70] = 500
    hu[:, :, :4] = -900
    scan = Scan(
        np.rint(hu).astype(np.int16),
        Geometry(SHAPE, SPACING, (-10.0, 5.0, 30.0)),
        Acquisition(kvp=120.0, slice_thickness_mm=2.5),
    )
    return scan, labels


def made_case(seed=0, scan_id="scan-1"):
    """A scan, its result with every lesion referred, and its calcium."""
    scan, labels = made_scan(seed)
    scored = score_labelled(scan, labels, RECIPE, scan_id=scan_id)
    rng = np.random.default_rng(seed)
    lesions = []
    for i, lesion in enumerate(scored.result.lesions):
        shares = rng.dirichlet(np.full(len(Label), 0.2)) * 0.4
        shares[lesion.label] += 0.6
        lesions.append(
            replace(
                lesion,
                probabilities={TITLES[t]: float(shares[t]) for t in Label},
                coronary_probability=float(shares[1:5].sum()),
                entropy=0.4, margin=0.2, disagreement=0.15, referred=True,
                reason=f"coronary with probability {shares[1:5].sum():.2f}",
                urgency=float(len(scored.result.lesions) - i),
                drivers=(Driver("lad_distance_mm", 3.25, 20.0, 0.31), Driver("max_hu", 420.0, 210.0, -0.12)),
            )
        )  # fmt: skip
    provenance = replace(scored.result.provenance, model={"name": "made", "model_sha256": "0" * 64})
    return scan, replace(scored.result, lesions=tuple(lesions), provenance=provenance), scored.calcium


def made_results(folder, scans=2, names=None, sources=True):
    """A folder of results with scans that can be opened; returns it."""
    results = Path(folder) / "results"
    for i in range(scans):
        scan_id = names[i] if names else f"scan-{i + 1}"
        scan, result, calcium = made_case(i, scan_id)
        path = write_volume(scan, Path(folder) / "private" / f"Doe^Jane-{i}.nii.gz", overwrite=True)
        write_result(results / f"result-{i}", result, calcium, "", arteries=PATHS)
        if sources:
            add_source(results, scan_id, Source(path))
    return results


class Served:
    """A review served by ``calcscore review`` in a process of its own."""

    def __init__(self, results, *arguments, observers=("anna",), port=0):
        command = [sys.executable, "-m", "calcscore_ml", "review", str(results), "--no-browser", "--json"]
        command += [a for name in observers for a in ("--observer", name)]
        self.log = Path(results).parent / "served.txt"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--port", str(port), *map(str, arguments)],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, "COLUMNS": "200"},
            )
        text = ""
        for line in self.process.stdout:  # ends with the process, so a failure is told
            text += line
            if line == "}\n":
                break
        assert text, self.log.read_text()
        self.told = json.loads(text)
        self.addresses = self.told["addresses"]
        self.base, _, _ = next(iter(self.addresses.values())).partition("/#")
        self.port = int(self.base.rpartition(":")[2])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def token(self, observer="anna"):
        return self.addresses[observer].partition("token=")[2]

    def client(self, observer="anna", **options):
        """An HTTP client of an observer."""
        headers = {"Authorization": f"Bearer {self.token(observer)}"}
        return httpx.Client(base_url=self.base, headers=headers, timeout=30, **options)

    def memory_mb(self):
        """Memory the process has, [MB]."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def kill(self):
        """End the process at once, as a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()


def label(lesion, number):
    return {"kind": "label", "lesion": lesion, "label": number}


def asked(scan, seen, intent):
    return {"scan": scan, "seen": seen, "intent": intent}
