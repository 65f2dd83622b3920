"""Time and memory of `calcscore score`, stage by stage, on scans given as arguments.

python benchmarks/stages.py data/lung-pet-ct-dx-a0001-heart OTHER_SCAN ... [--runs 3]

Each scan is scored in a process of its own; seconds are medians over runs, memory is the process's peak.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STAGES = ("import", "read", "location", "candidates", "place", "features", "model", "scores", "report", "total")


def one(path: str) -> dict[str, float]:
    """Score one scan in this process; seconds per stage and peak memory."""
    start = time.perf_counter()
    from calcscore_ml.files import write_text
    from calcscore_ml.io import read_scan
    from calcscore_ml.models.bundle import load_bundle
    from calcscore_ml.models.default import default_model
    from calcscore_ml.pipeline import score_scan
    from calcscore_ml.recipe import parse_recipe
    from calcscore_ml.reports.html import scan_report

    bundle = load_bundle(default_model())
    recipe = parse_recipe(bundle.card.recipe, "card")
    ready = time.perf_counter()
    scan = read_scan(Path(path))
    read = time.perf_counter()
    scored = score_scan(scan, bundle, recipe, scan_id="benchmark")
    decided = time.perf_counter()
    report = scan_report(scored.result, scan, scored.candidates, scored.calcium, scored.location)
    with tempfile.TemporaryDirectory() as folder:
        write_text(Path(folder) / "report.html", report)
    end = time.perf_counter()
    seconds = dict(scored.result.provenance.seconds)
    seconds |= {"import": ready - start, "read": read - ready, "report": end - decided, "total": end - start}
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    shape = "x".join(map(str, scan.hu.shape))
    return {**seconds, "peak_mb": peak_mb, "candidates_found": scored.result.candidates, "shape": shape}  # type: ignore[dict-item]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scans", nargs="*", default=["data/lung-pet-ct-dx-a0001-heart", "data/qrm-thorax-phantom"])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--one", action="store_true", help="score the one scan given and print JSON")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.scans[0])))
        return
    print(f"{os.cpu_count()} cores; median of {options.runs} runs; seconds\n")
    print(f"| scan | voxels | candidates | {' | '.join(STAGES)} | peak MB |")
    print("|" + "---|" * (len(STAGES) + 4))
    for scan in options.scans:
        runs = []
        for _ in range(options.runs):
            command = [sys.executable, __file__, "--one", scan]
            runs.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
        cells = [f"{statistics.median(r[s] for r in runs):.2f}" for s in STAGES]
        peak = max(r["peak_mb"] for r in runs)
        first = runs[0]
        print(f"| {Path(scan).name} | {first['shape']} | {first['candidates_found']} |", end=" ")
        print(f"{' | '.join(cells)} | {peak:.0f} |")


if __name__ == "__main__":
    main()
