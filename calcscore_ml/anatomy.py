"""The labels a lesion can carry, and their codes.

The numbers 1 to 3 are orCaScore's. A data set that counts the left main as LAD (orCaScore does) has no label 4; the
evaluation merges the two then, see `merge_left_main`.
"""

from __future__ import annotations

from collections.abc import Collection
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


class Organ(IntEnum):
    """What a voxel of a label volume of organs belongs to: the vocabulary of atlases and of digital patients.

    A voxel has one organ. The heart is the pericardial sac without the aorta's root.
    """

    NONE = 0
    HEART = 1
    ASCENDING_AORTA = 2
    AORTIC_ARCH = 3
    DESCENDING_AORTA = 4
    RIGHT_LUNG = 5
    LEFT_LUNG = 6
    SPINE = 7
    STERNUM = 8

    @property
    def title(self) -> str:
        """The organ as printed in reports."""
        return self.name.lower().replace("_", " ")

    @property
    def is_aorta(self) -> bool:
        """Whether the organ is a part of the thoracic aorta."""
        return self in AORTA


AORTA: tuple[Organ, ...] = (Organ.ASCENDING_AORTA, Organ.AORTIC_ARCH, Organ.DESCENDING_AORTA)
"""The parts of the thoracic aorta, in the direction of the blood."""

ORGANS_SNOMED_CT: dict[Organ, tuple[str, str]] = {
    Organ.HEART: ("80891009", "Heart"),
    Organ.ASCENDING_AORTA: ("54247002", "Ascending aorta"),
    Organ.AORTIC_ARCH: ("57034009", "Aortic Arch"),
    Organ.DESCENDING_AORTA: ("281130003", "Descending aorta"),
    Organ.RIGHT_LUNG: ("3341006", "Right lung"),
    Organ.LEFT_LUNG: ("44029006", "Left lung"),
    Organ.SPINE: ("421060004", "Spine"),
    Organ.STERNUM: ("56873002", "Sternum"),
}
"""SNOMED CT code and meaning of each organ."""


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


def keep_labels(labels: NDArray[np.integer], kept: Collection[Label]) -> NDArray[np.integer]:
    """Call "other" what is none of some labels.

    Parameters
    ----------
    labels : (n,) array of int
        Label numbers.
    kept : collection of Label
        Labels that stay.

    Returns
    -------
    (n,) array of int
        The same with 0 for all others.

    >>> keep_labels(np.array([0, 1, 5, 7]), {Label.LAD, Label.AORTA}).tolist()
    [0, 1, 5, 0]
    """
    stays = np.isin(labels, [int(label) for label in kept])
    return np.where(stays, labels, np.asarray(Label.OTHER, dtype=labels.dtype))
