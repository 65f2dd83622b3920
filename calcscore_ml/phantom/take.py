"""A take: one scan of a digital patient among several of the same patient."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Take:
    """What differs between scans of the same patient under the same protocol.

    Parameters
    ----------
    name : str
        Part of the scan's name; empty for the only scan of a patient.
    repeat : int
        Another exposure: noise and cardiac phase are drawn anew for every number. Takes of equal number are
        reconstructions of the same exposure.
    moved : bool
        Whether the patient was laid on the table anew: height, side and first slice change with `repeat`.
    dose : float
        Tube current relative to the protocol's; the noise SD goes with its inverse square root.
    calcium : bool
        Whether arteries, aorta, valves and soft tissues hold calcium. Bone and cartilage keep theirs either way.
    """

    name: str = ""
    repeat: int = 0
    moved: bool = False
    dose: float = 1.0
    calcium: bool = True


PLAIN = Take()
"""The only scan of a patient."""
