"""What each limit `deciding_below` of a recipe's referral asks of an expert, and what it leaves wrong.

python scripts/calibrate_deciding.py EVALUATION [--recipe RECIPE.toml] [--limits 0.8 0.9 0.95]

EVALUATION is a folder of `calcscore evaluate -o` over calibration patients. Its scans that have a score are referred
by the recipe's referral (the evaluation's own when none is given) with each limit; an expert who is right answers.
"""

from __future__ import annotations

import argparse
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calcscore_ml.anatomy import ARTERIES
from calcscore_ml.judged import Judged, losses_of, read_judged
from calcscore_ml.recipe import read_recipe
from calcscore_ml.referral.policy import ReferralPolicy, refer
from calcscore_ml.referral.stakes import Stakes, deciding
from calcscore_ml.referral.uncertainty import Uncertainty
from calcscore_ml.reports.markdown import markdown_table
from calcscore_ml.scores.risk import find_scheme


def referred(judged: Judged, policy: ReferralPolicy) -> tuple[NDArray[np.float64], float]:
    """Refer every scan: whether each lesion is (1 or 0), and the share of scans that are referred as a whole."""
    scheme, out, whole = find_scheme(judged.recipe.scores.risk), np.zeros(len(judged.lesions)), 0
    for rows in judged.lesions.groupby("scan_id").indices.values():
        t = {name: judged.lesions[name].to_numpy()[rows] for name in judged.lesions}
        unknown = np.full(len(rows), np.nan)
        uncertainty = Uncertainty(**{f.name: np.array(t.get(f.name, unknown), float) for f in fields(Uncertainty)})
        effect, now = np.array(t["agatston"], float), np.isin(t["predicted"], ARTERIES)
        hangs = {name: np.array(t[name], float) for name in ("doubt", "change", "category")}
        stakes = Stakes(effect, **hangs, expected=0.0, category_wrong=0.0, deciding=deciding(effect, now, scheme))
        found = refer(policy, uncertainty, stakes, ostia_mm=np.array(t.get("ostia_mm", unknown), float))
        out[rows], whole = found.referred, whole + bool(found.whole_scan)
    return out, whole / len(judged.scans)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("evaluation", type=Path)
    parser.add_argument("--recipe", type=Path)
    parser.add_argument("--limits", type=float, nargs="+", default=(0, 0.5, 0.7, 0.8, 0.85, 0.9, 0.95, 0.975, 0.99, 1))
    options = parser.parse_args()
    judged = read_judged(options.evaluation).with_score()
    policy = (read_recipe(options.recipe) if options.recipe else judged.recipe).referral
    rows: list[tuple[str, ...]] = []
    for limit in options.limits:
        asked, whole = referred(judged, replace(policy, deciding_below=limit))
        left = losses_of(judged, asked, np.array([0.5]), "category")
        rows.append((f"{limit:g}", f"{left.referred.mean():.2f}", f"{whole:.1%}", f"{left.losses.mean():.3f}"))
    print(markdown_table(("deciding_below", "lesions a scan", "scans as a whole", "wrong categories left"), rows))


if __name__ == "__main__":
    main()
