"""What each referral policy leaves of the error, and whether promised errors hold on patients never seen.

python scripts/referral_study.py CALIBRATION HELD_OUT OUTPUT [--experts 0 0.05] [--tolerated 0.05 0.1 0.15]

CALIBRATION and HELD_OUT are folders of `calcscore evaluate -o` of different patients with the same model. Writes
policies.png, policies.md and promises.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from calcscore_ml.errors import ResultError
from calcscore_ml.evaluation.referral_losses import simulated_expert
from calcscore_ml.evaluation.referral_policies import orders, policy_curves
from calcscore_ml.files import write_bytes, write_text
from calcscore_ml.promises import PROMISE_COLUMNS, hold_against, make_promise, promise_table, read_judged
from calcscore_ml.referral.policy import SECONDS_PER_LESION
from calcscore_ml.referral.promise import LOSSES
from calcscore_ml.reports.markdown import markdown_table
from calcscore_ml.reports.policies import policies_figure, policy_columns, policy_rows
from calcscore_ml.scores.risk import find_scheme


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("calibration", type=read_judged)
    parser.add_argument("held_out", type=read_judged)
    parser.add_argument("output", type=Path)
    parser.add_argument("--experts", type=float, nargs="+", default=[0.0, 0.05])
    parser.add_argument("--tolerated", type=float, nargs="+", default=[0.05, 0.1, 0.15])
    options = parser.parse_args()
    held_out = options.held_out
    truth, likeliest = (held_out.lesions[c].to_numpy() for c in ("truth", "likeliest"))
    told, pages = [], []
    for error in options.experts:
        expert = simulated_expert(truth, likeliest, error)
        given, scheme = orders(held_out.lesions), find_scheme(held_out.recipe.scores.risk)
        curves = policy_curves(held_out.lesions, held_out.scans, given, scheme=scheme, expert=expert)
        name = f"policies-{error:g}.png"
        write_bytes(options.output / name, policies_figure(curves, seconds_per_lesion=SECONDS_PER_LESION), True)
        for loss, named in curves.items():
            pages.append(
                f"## {loss}, expert errs {error:.0%}\n\n{markdown_table(policy_columns(), policy_rows(named))}"
            )
        for loss in LOSSES:
            for tolerated in options.tolerated:
                for confidence in (None, 0.9):
                    try:
                        promise = make_promise(options.calibration, loss, tolerated, confidence=confidence)
                    except ResultError as refused:
                        print(f"{loss} {tolerated:g}: {refused}")
                    else:
                        told.append(hold_against(promise, held_out, expert_error=error))
    write_text(options.output / "policies.md", "\n\n".join(pages) + "\n", overwrite=True)
    promises = markdown_table(PROMISE_COLUMNS, promise_table(told))
    write_text(options.output / "promises.md", promises + "\n", overwrite=True)
    print(promises)


if __name__ == "__main__":
    main()
