"""Whether promised errors hold: on held-out patients, and over random splits of all patients.

python scripts/check_promises.py CALIBRATION HELD_OUT OUTPUT.md [--tolerated 0.05 0.1] [--experts 0 0.05]

CALIBRATION and HELD_OUT are folders of `calcscore evaluate -o` of different patients with the same model.
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path

from calcscore_ml.errors import ResultError
from calcscore_ml.files import write_text
from calcscore_ml.judged import read_judged
from calcscore_ml.promises import (
    PROMISE_COLUMNS,
    SPLIT_COLUMNS,
    Kept,
    hold_against,
    make_promise,
    over_splits,
    promise_table,
    split_row,
)
from calcscore_ml.referral.promise import LOSSES
from calcscore_ml.reports.markdown import markdown_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("calibration", type=Path)
    parser.add_argument("held_out", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--tolerated", type=float, nargs="+", default=[0.05, 0.1, 0.15])
    parser.add_argument("--experts", type=float, nargs="+", default=[0.0, 0.05])
    parser.add_argument("--splits", type=int, default=200)
    options = parser.parse_args()
    calibration, held_out = read_judged(options.calibration), read_judged(options.held_out)
    kept: list[Kept] = []
    refused, split = [], []
    pot, n = [calibration, held_out], len(calibration.scans)
    for errs, loss, tolerated, sure in product(options.experts, LOSSES, options.tolerated, (None, 0.9)):
        try:
            promise = make_promise(calibration, loss, tolerated, confidence=sure, expert_error=errs)
        except ResultError as error:
            refused.append(f"- {loss} at most {tolerated:g}, expert errs {errs:.0%}: {error}")
        else:
            kept.append(hold_against(promise, held_out))
        asked = {"calibrate": n, "splits": options.splits}
        found = over_splits(pot, loss, tolerated, confidence=sure, expert_error=errs, **asked)
        split.append(split_row(loss, tolerated, found, sure, errs))
    tables = (markdown_table(PROMISE_COLUMNS, promise_table(kept)), markdown_table(SPLIT_COLUMNS, split))
    text = "\n\n".join([*tables, *refused]) + "\n"
    write_text(options.output, text, overwrite=True)
    print(text)


if __name__ == "__main__":
    main()
