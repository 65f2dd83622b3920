"""Measure how like real scans digital ones are, and write report.json and report.md.

python scripts/measure_realism.py OUTPUT --real FOLDER [--real FOLDER ...] [--digital 8] [--page docs/realism.md]

Each real scan is set beside digital patients under the nearest protocol, on its own grid, with rods along the spine
where the real spine holds metal. Measured digital scans are kept in OUTPUT/cache under the fingerprint of the phantom's
source, so a second run takes seconds. The tables also replace those of a page.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from calcscore_ml import phantom
from calcscore_ml.evaluation.realism import (
    Measured,
    holds_metal,
    matched_protocol,
    measure_scan,
    on_grid_of,
    rows_of,
    tell_apart,
)
from calcscore_ml.evaluation.realism_report import as_json, as_markdown
from calcscore_ml.io import read_scan
from calcscore_ml.phantom import Protocol, draw_patient, generate
from calcscore_ml.phantom.lookalikes import has_spinal_rods
from calcscore_ml.scan import Scan

SOURCE = hashlib.sha256(
    b"".join(f.read_bytes() for f in sorted(Path(phantom.__file__).parent.glob("*.py")))
).hexdigest()
"""Fingerprint of the phantom's source, taken when the run begins."""

BEGIN, END = "<!-- measured -->", "<!-- end of measured -->"

FIRST_SEED = 20_000
"""Of the digital patients; far from the seeds of the documented cohorts."""


def digital(seed: int, protocol: Protocol, real: Scan, cache: Path) -> Measured:
    """Measure one digital scan, or read what was measured."""
    key = hashlib.sha256(f"{seed} {protocol!r} {SOURCE}".encode()).hexdigest()[:16]
    file = cache / f"{key}.npz"
    if not file.exists():
        found = measure_scan(on_grid_of(generate(seed, protocol).scan, real))
        names = np.array(found.features.columns, dtype=np.str_)
        cache.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(
            file, names=names, features=found.features.to_numpy(), place=found.place, height=found.height,
            numbers=np.array(json.dumps(found.numbers)),
        )  # fmt: skip
    with np.load(file, allow_pickle=False) as kept:
        table = pd.DataFrame(kept["features"], columns=list(kept["names"]))
        return Measured(json.loads(str(kept["numbers"])), table, kept["place"], kept["height"])


def main(output: Path, folders: list[Path], count: int, page: Path | None = None, workers: int = 2) -> None:
    output.mkdir(parents=True, exist_ok=True)
    sets: dict[str, tuple[Measured, list[Measured]]] = {}
    protocols: dict[str, str] = {}
    for index, folder in enumerate(folders):
        real = read_scan(folder)
        protocol = matched_protocol(real)
        if protocol is None:
            print(f"{folder.name}: no protocol is like it, left out")
            continue
        metal = holds_metal(real)
        alike = (s for s in itertools.count(FIRST_SEED + 1000 * index) if has_spinal_rods(draw_patient(s)) == metal)
        seeds = list(itertools.islice(alike, count))
        print(f"{folder.name}: {protocol.name}{', spinal rods' if metal else ''}, seeds {seeds}", flush=True)
        measured = Parallel(workers)(delayed(digital)(s, protocol, real, output / "cache") for s in seeds)
        sets[folder.name] = measure_scan(real), measured
        protocols[folder.name] = protocol.name
    told = tell_apart(*rows_of(sets))
    (output / "report.json").write_text(as_json(sets, protocols, told), encoding="utf-8")
    tables = as_markdown(sets, protocols, told)
    (output / "report.md").write_text(tables, encoding="utf-8")
    if page is not None:
        before, rest = page.read_text(encoding="utf-8").split(BEGIN)
        page.write_text(f"{before}{BEGIN}\n\n{tables}\n{END}{rest.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--real", type=Path, action="append", required=True, help="folder of a real scan")
    parser.add_argument("--digital", type=int, default=8, help="digital patients for each real scan")
    parser.add_argument("--page", type=Path, help=f"page whose tables, between {BEGIN} and {END}, are replaced")
    given = parser.parse_args()
    main(given.output, given.real, given.digital, given.page)
