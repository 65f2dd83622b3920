"""Say how much calcium digital patients have and where, beside the published figures, as tables for docs/phantom.md.

python scripts/describe_calcium.py 600

Nothing is scanned: a lesion counts with its noise-free score.
"""

from __future__ import annotations

import sys

import numpy as np
from joblib import Parallel, delayed

from calcscore_ml.phantom import draw_patient
from calcscore_ml.phantom.burden import MESA_QUANTILES, MESA_SCORES, reference_score
from calcscore_ml.phantom.calcification import ALONE, draw_coronary_calcium
from calcscore_ml.phantom.coronaries import build_coronaries
from calcscore_ml.phantom.heart import build_heart

BANDS = ((42, 55, 50), (55, 65, 60), (65, 75, 70), (75, 87, 80))
ARTERIES = tuple(ALONE)
VESSELS = ("33 %", "25 %", "30 %", "12 %")


def scores_of(seed: int) -> tuple[str, float, list[float]]:
    patient = draw_patient(seed)
    lesions = draw_coronary_calcium(patient, build_coronaries(build_heart(patient)))
    scored = [(lesion.label, reference_score(lesion)) for lesion in lesions]
    return patient.sex, patient.age_years, [sum(s for label, s in scored if label is a) for a in ARTERIES]


def row(*cells: object) -> None:
    print(f"| {' | '.join(map(str, cells))} |")


def head(*cells: object) -> None:
    print()
    row(*cells)
    row(*["---"] * len(cells))


def main(patients: int) -> None:
    sex, age, per = (
        np.array(v) for v in zip(*Parallel(2)(delayed(scores_of)(s) for s in range(patients)), strict=True)
    )
    total = per.sum(axis=1)
    head("age", "men, digital", "men, MESA", "women, digital", "women, MESA")
    for low, high, middle in BANDS:
        cells: list[str] = []
        for one in "MF":
            mine = total[(sex == one) & (age >= low) & (age < high)]
            found = ", ".join(f"{q:.0f}" for q in np.quantile(mine, MESA_QUANTILES)) if len(mine) else "none"
            cells += [f"{found} ({len(mine)})", ", ".join(map(str, MESA_SCORES[one][middle]))]
        row(f"{low}-{high - 1} / {middle}", *cells)
    some = per[total > 0]
    count = (some > 0).sum(axis=1)
    head("calcified arteries", *range(1, 5))
    row(f"digital, {len(some)} patients", *(f"{(count == k).mean():.0%}" for k in range(1, 5)))
    row("MESA, 3,290", *VESSELS)
    head("artery", "share of all Agatston", "of calcified patients", "alone", "alone, MESA")
    for k, label in enumerate(ARTERIES):
        alone = (some[count == 1, k] > 0).mean()
        row(
            label.name,
            f"{some[:, k].sum() / some.sum():.0%}",
            f"{(some[:, k] > 0).mean():.0%}",
            f"{alone:.0%}",
            f"{100 * ALONE[label]:.0f} %",
        )


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(int(sys.argv[1]))
