"""The labels a lesion can carry, and their codes.

The numbers 1 to 3 are orCaScore's. A data set that counts the left main as LAD (orCaScore does) has no label 4; the
evaluation merges the two then, see `merge_left_main`.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class Label(IntEnum):
    """What a candidate lesion is.

    >>> Label.LAD.is_coronary, Label.AORTA.is_coronary
    (True, False)
    """

    OTHER = 0
    LAD = 1
    LCX = 2
    RCA = 3
    LM = 4
    AORTA = 5
    AORTIC_VALVE = 6
    MITRAL_VALVE = 7

    @property
    def is_coronary(self) -> bool:
        """Whether the label counts towards the coronary score."""
        return self in ARTERIES

    @property
    def title(self) -> str:
        """The label as printed in reports."""
        return TITLES[self]


ARTERIES: tuple[Label, ...] = (Label.LM, Label.LAD, Label.LCX, Label.RCA)
"""The coronary arteries in reporting order."""

TITLES: dict[Label, str] = {
    Label.OTHER: "other",
    Label.LAD: "LAD",
    Label.LCX: "LCX",
    Label.RCA: "RCA",
    Label.LM: "LM",
    Label.AORTA: "thoracic aorta",
    Label.AORTIC_VALVE: "aortic valve",
    Label.MITRAL_VALVE: "mitral valve",
}
"""How each label is printed."""

SNOMED_CT: dict[Label, tuple[str, str]] = {
    Label.LAD: ("59438005", "Anterior descending branch of left coronary artery"),
    Label.LCX: ("57396003", "Circumflex branch of left coronary artery"),
    Label.RCA: ("13647002", "Right coronary artery"),
    Label.LM: ("3227004", "Left coronary artery main stem"),
    Label.AORTA: ("113262008", "Thoracic aorta"),
    Label.AORTIC_VALVE: ("34202007", "Aortic valve"),
    Label.MITRAL_VALVE: ("91134007", "Mitral valve"),
}
"""SNOMED CT code and meaning of each anatomical label, as listed in DICOM's context groups 3015 and 3604."""


def merge_left_main(labels: NDArray[np.integer]) -> NDArray[np.integer]:
    """Count the left main as LAD, as orCaScore does.

    Parameters
    ----------
    labels : (n,) array of int
        Label numbers.

    Returns
    -------
    (n,) array of int
        The same with 4 replaced by 1.

    >>> merge_left_main(np.array([0, 1, 4, 3])).tolist()
    [0, 1, 1, 3]
    """
    return np.where(labels == Label.LM, np.asarray(Label.LAD, dtype=labels.dtype), labels)
