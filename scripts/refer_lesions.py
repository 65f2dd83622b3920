"""The review without its page: writes the queue, takes decisions from a CSV file, computes the scores anew.

python scripts/refer_lesions.py RESULTS --queue queue.csv
python scripts/refer_lesions.py RESULTS --decisions queue.csv --observer anna --reviewed reviewed

RESULTS is a folder that `calcscore score` wrote. The queue lists every lesion that waits for an expert, those with most
at stake first. Fill in its column `label` (a number or a name, as LAD) and, if you like, `note`, and give it back.
Decisions go where those of `calcscore review` go; a line without a label decides nothing, and one that stands already
is not stored twice.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from calcscore_ml.errors import CalcscoreError
from calcscore_ml.files import write_text
from calcscore_ml.review.desk import SHARED, Desk, open_results
from calcscore_ml.review.export import write_reviewed
from calcscore_ml.review.paper import apply_verdicts, queue_csv, read_filled
from calcscore_ml.review.store import STORE_FILE, open_store


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--queue", type=Path, help="write the queue to this CSV file")
    parser.add_argument("--decisions", type=Path, help="take decisions from this CSV file")
    parser.add_argument("--observer", default="script", help="who decided, where the file does not say")
    parser.add_argument("--reviewed", type=Path, help="write the reviewed results to this folder")
    parser.add_argument("--overwrite", action="store_true", help="replace files that are already there")
    try:
        raise SystemExit(review(parser.parse_args()))
    except CalcscoreError as error:
        parser.exit(2, f"error: {error}\n")


def review(options: argparse.Namespace) -> int:
    cases, failed = open_results(options.results)
    verdicts = read_filled(options.decisions) if options.decisions else ()
    observers = tuple(dict.fromkeys([options.observer, *(v.observer for v in verdicts if v.observer)]))
    with open_store(options.results / STORE_FILE) as store:
        desk = Desk(cases, store, "shared", observers)
        done = apply_verdicts(desk, verdicts, options.observer)
        readings = desk.readings(SHARED)
    if options.queue:
        write_text(options.queue, queue_csv(readings.values()), options.overwrite)
    if options.reviewed:
        for scan_id, reading in readings.items():
            paths = cases[scan_id].arteries
            write_reviewed(options.reviewed / scan_id, reading, arteries=paths, overwrite=options.overwrite)
    for name, why in (*done.refused, *failed.items()):
        print(f"{name}: {why}", file=sys.stderr)
    print(f"{done.stored} decisions stored, {done.known} stood already, {len(done.refused)} refused")
    for scan_id, reading in readings.items():
        print(f"{scan_id}: {reading.headline}" + (f", category {reading.category}" if reading.category else ""))
    return 1 if done.refused or failed else 0


if __name__ == "__main__":
    main()
