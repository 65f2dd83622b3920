"""The catalogue of every feature as Markdown: each family's own words, then a table of its features.

``python -m calcscore_features.catalogue > features/README.md`` writes it anew; a test holds the file to this text.
"""

from __future__ import annotations

import sys

from calcscore_features import ALL, border, crowd, gaussian, intensity, location, neighbourhood, shape, size, texture
from calcscore_features.feature import Feature

MODULES = (size, shape, intensity, texture, gaussian, neighbourhood, crowd, border, location)
"""Where each family's words come from, in the order of `calcscore_features.FAMILIES`."""

COLUMNS = ("feature", "unit", "formula", "source", "no value")
"""Headings of the tables."""

PREFACE = """\
# Catalogue of features

Written by `python -m calcscore_features.catalogue` from the code, and checked against it by a test.

`calcscore_features` knows arrays and millimetres only. Arrays and spacing are (z, y, x); z grows to the head, y to the
back, x to the patient's left. Every feature is computed for all lesions of a scan at once:

```python
from calcscore_features import Lesions, compute

table = compute(Lesions(hu, spacing_mm, voxels, offsets))  # name -> one value per lesion
```

A value is finite, or NaN where the last column says so; models fill NaN by an explicit imputation. Unit 1 is a plain
number. The code after "IBSI" is the permanent identifier in the reference manual of the Image Biomarker Standardisation
Initiative (Zwanenburg et al., Radiology 295:328, 2020; arXiv:1612.07003). The feature then agrees with the initiative's
consensus on its digital phantom, `reference_values.csv` (CC BY 4.0, the same authors).

Some features say the same thing, because the initiative defines both: `glcm_difference_average` = `glcm_dissimilarity`,
`glcm_sum_average` = 2 `glcm_joint_average`, `glcm_sum_variance` = `glcm_cluster_tendency`. Compactness, asphericity and
spherical disproportion are functions of `sphericity` and left out.

A single voxel is a lesion like any other, and in noisy scans the commonest one, so features that need two voxels are
NaN in many rows. Features of the families `gaussian`, `neighbourhood` and `border` see what surrounds a lesion; beyond
the scan's border the Gaussian family goes on with the outermost voxels, while shells end there.
`shell_other_lesions_mm3` and the family `crowd` alone depend on which other lesions are asked for.
"""


def text() -> str:
    """Return the whole catalogue for default settings.

    >>> text().splitlines()[0]
    '# Catalogue of features'
    """
    parts = [PREFACE]
    for module in MODULES:
        title, _, words = (module.__doc__ or "").strip().partition("\n\n")
        family = module.__name__.rpartition(".")[2]
        rows = [_row(COLUMNS), _row(("---",) * len(COLUMNS))]
        rows += [_feature_row(f) for f in ALL if f.family == family]
        parts.append(f"## {title.rstrip('.')}\n\n{words}\n\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def _feature_row(feature: Feature) -> str:
    formula = feature.formula.replace("|", "\\|")
    return _row((f"`{feature.name}`", feature.unit, f"`{formula}`", feature.source, feature.degenerate))


def _row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    sys.stdout.write(text())
