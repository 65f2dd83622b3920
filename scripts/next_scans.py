"""Which scans to label next: those from whose labels the model that scored them would learn most.

python scripts/next_scans.py RESULTS [--count 10]

RESULTS is a folder that `calcscore score` wrote.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from calcscore_ml.errors import CalcscoreError
from calcscore_ml.referral.choice import WORTH_LEARNING, choose_scans
from calcscore_ml.result import RESULT_FILE, read_result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--count", type=int, default=10)
    options = parser.parse_args()
    values: dict[str, float] = {}
    try:
        for file in sorted(options.results.glob(f"*/{RESULT_FILE}")):
            result, _ = read_result(file.parent)
            asked = [n for n in result.lesions if n.coronary_probability >= WORTH_LEARNING]
            values[result.scan_id] = sum(lesion.disagreement for lesion in asked)
    except CalcscoreError as error:
        parser.exit(2, f"error: {error}\n")
    if not values:
        parser.exit(2, f"error: a folder of results is needed, got none in {options.results}; score scans first\n")
    for scan_id in choose_scans(values, options.count):
        print(f"{scan_id}: {values[scan_id]:.3f}")


if __name__ == "__main__":
    main()
