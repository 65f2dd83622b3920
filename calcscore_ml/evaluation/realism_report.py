"""The report on realism: a table of numbers, and who gives himself away by what."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from calcscore_ml.evaluation.places import PLACES
from calcscore_ml.evaluation.realism import QUANTILES, Measured, Told
from calcscore_ml.evaluation.two_sample import TwoSample

Sets = Mapping[str, tuple[Measured, Sequence[Measured]]]
"""By name: the real scan and the digital scans matched with it."""

SHOWN = 12
"""Features listed."""

SHOWN_PER_PLACE = 6
"""Features listed for each place."""

NOISE = ("heart", "liver", "muscle")
TISSUES = ("blood_hu", "liver_hu", "muscle_hu", "fat_hu", "lung_hu", "air_hu", "bone_p50_hu", "bone_p90_hu")


def as_markdown(sets: Sets, protocols: Mapping[str, str], told: Told) -> str:
    """Write the report as Markdown; a digital cell is the mean over patients and, in brackets, the range."""
    parts = [
        "### Tissues [HU]\n",
        _numbers(sets, protocols, TISSUES, 0),
        "\n### Noise SD [HU], mean frequency of its power [1/mm], blur of the outline [mm]\n",
        _numbers(sets, protocols, [f"{n}_sd_hu" for n in NOISE], 1),
        "",
        _numbers(sets, protocols, [*(f"{n}_nps_mean_per_mm" for n in NOISE), "outline_blur_mm"], 3),
        "\n### Candidates: whole scan, at the heart's height, and of these by place\n",
        _numbers(sets, protocols, ["candidates", "near_heart", *(f"count_{p}" for p in PLACES)], 0),
        "\n### Volumes of the candidates at the heart's height [mm3]\n",
        *(_numbers(sets, protocols, [f"volume_{p}_{q:.0%}_mm3" for q in QUANTILES], 1) + "\n" for p in PLACES),
        "### Told apart by a classifier (AUC; 0.5 is chance)\n",
        _tests(told),
        "\nWithin a set, slab by slab: real against digital, beside each digital patient against the others.\n",
        _table(("set", "real against digital", "digital against digital"),
               [(k, f"{a:.3f}", f"{b:.3f}") for k, (a, b) in told.within.items()]),
        "\nFall of the AUC when a family of features is shuffled, and single features:\n",
        _table(("family", "fall"), [(k, f"{v:.3f}") for k, v in told.without_location.group_importance.items()]),
        "",
        _table(("feature", "fall"), [(k, f"{v:.3f}") for k, v in _first(told.without_location.importance)]),
    ]  # fmt: skip
    for name, frame in told.univariate.items():
        parts.append(f"\nOne feature at a time, {name} (AUC above 0.5: real is higher):\n")
        heads = ("feature", "AUC", "over sets", "real median", "digital median")
        rows = [
            (r.Index, f"{r.auc:.2f}", f"{r.per_set_low:.2f} to {r.per_set_high:.2f}", f"{r.real_median:.3g}",
             f"{r.digital_median:.3g}")
            for r in frame.head(SHOWN if name == "all" else SHOWN_PER_PLACE).itertuples()
        ]  # fmt: skip
        parts.append(_table(heads, rows))
    return "\n".join(parts) + "\n"


def as_json(sets: Sets, protocols: Mapping[str, str], told: Told) -> str:
    """Write the same as JSON; what could not be measured is null."""
    content = {
        "sets": {
            name: {"protocol": protocols[name], "real": real.numbers, "digital": [m.numbers for m in digital]}
            for name, (real, digital) in sets.items()
        },
        "told_apart": {
            "everything": _test(told.everything),
            "without_location": _test(told.without_location),
            "by_place": {k: _test(v) for k, v in told.by_place.items()},
            "within": told.within,
            "univariate": {k: v.reset_index().to_dict(orient="records") for k, v in told.univariate.items()},
        },
    }
    return json.dumps(_plain(content), indent=1) + "\n"


def _numbers(sets: Sets, protocols: Mapping[str, str], names: Sequence[str], digits: int) -> str:
    rows = []
    for name, (real, digital) in sets.items():
        rows.append((name, *(f"{real.numbers[n]:.{digits}f}" for n in names)))
        cells = []
        for n in names:
            values = np.array([m.numbers[n] for m in digital])
            values = values[np.isfinite(values)]
            text = "{:.{d}f} ({:.{d}f} to {:.{d}f})"
            cells.append(text.format(values.mean(), values.min(), values.max(), d=digits) if len(values) else "")
        rows.append((f"{len(digital)} digital, {protocols[name]}", *cells))
    short = [n.removesuffix("_hu").removesuffix("_mm3").removeprefix("count_").replace("_", " ") for n in names]
    return _table(("", *short), rows).replace("nan", "")


def _tests(told: Told) -> str:
    named = [("all features", told.everything), ("without location", told.without_location)]
    named += [(f"{place}, without location", test) for place, test in told.by_place.items()]
    sets = sorted({s for _, test in named for s in test.per_set})
    rows = [(n, str(t.auc), *(f"{t.per_set[s]:.3f}" if s in t.per_set else "" for s in sets)) for n, t in named]
    return _table(("candidates", "AUC [95 % interval]", *(f"held out: {s}" for s in sets)), rows)


def _test(test: TwoSample) -> dict[str, object]:
    auc = {"value": test.auc.value, "low": test.auc.low, "high": test.auc.high}
    shown = {"importance": dict(_first(test.importance, 30)), "group_importance": test.group_importance}
    return {"auc": auc, "per_set": test.per_set, **shown}


def _first(values: Mapping[str, float], count: int = SHOWN) -> list[tuple[str, float]]:
    return list(values.items())[:count]


def _plain(value: object) -> object:
    """NaN is no JSON."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return float(value) if np.isfinite(value) else None
    return value


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
