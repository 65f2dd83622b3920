"""What each order of referral leaves of three errors, for how many lesions a scan.

python scripts/referral_curves.py EVALUATION OUTPUT [--expert-error 0.05]

EVALUATION is a folder of `calcscore evaluate -o`. Writes policies.png and policies.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from calcscore_ml.evaluation.referral_losses import simulated_expert
from calcscore_ml.evaluation.referral_policies import orders, policy_curves
from calcscore_ml.files import write_bytes, write_text
from calcscore_ml.judged import read_judged
from calcscore_ml.referral.policy import SECONDS_PER_LESION
from calcscore_ml.referral.promise import WORDS
from calcscore_ml.reports.markdown import markdown_table
from calcscore_ml.reports.policies import policies_figure, policy_columns, policy_rows
from calcscore_ml.scores.risk import find_scheme


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("evaluation", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--expert-error", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    judged = read_judged(options.evaluation)
    lesions, scheme = judged.lesions, find_scheme(judged.recipe.scores.risk)
    truth, likeliest = (lesions[name].to_numpy() for name in ("truth", "likeliest"))
    expert = simulated_expert(truth, likeliest, options.expert_error, options.seed)
    curves = policy_curves(
        lesions, judged.scans, orders(lesions), scheme=scheme, expert=expert, left_main_as_lad=judged.as_lad
    )
    pages = [
        f"{loss}: {WORDS[loss]}\n\n{markdown_table(policy_columns(), policy_rows(named))}\n"
        for loss, named in curves.items()
    ]
    figure = policies_figure(curves, seconds_per_lesion=SECONDS_PER_LESION)
    write_bytes(options.output / "policies.png", figure, overwrite=True)
    write_text(options.output / "policies.md", "\n".join(pages), overwrite=True)
    print("\n".join(pages))


if __name__ == "__main__":
    main()
