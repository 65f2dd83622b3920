"""A take: one scan of a digital patient among several of the same patient."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from calcscore_ml.phantom.protocols import Protocol, find_kernel, noise_factor


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
    kvp, filter, kernel, slice_thickness_mm, slice_spacing_mm : optional
        What is not the protocol's; None keeps it. Slices of another thickness are spaced by it unless said otherwise.
    """

    name: str = ""
    repeat: int = 0
    moved: bool = False
    dose: float = 1.0
    calcium: bool = True
    kvp: float | None = None
    filter: Literal["", "tin"] | None = None
    kernel: str | None = None
    slice_thickness_mm: float | None = None
    slice_spacing_mm: float | None = None

    def vary(self, protocol: Protocol) -> Protocol:
        """Return the protocol with this take's changes; its noise follows them as physics asks."""
        changes: dict[str, Any] = {
            "kvp": self.kvp,
            "filter": self.filter,
            "kernel": None if self.kernel is None else find_kernel(self.kernel),
            "slice_thickness_mm": self.slice_thickness_mm,
            "slice_spacing_mm": self.slice_spacing_mm or self.slice_thickness_mm,
        }
        changed = replace(protocol, **{key: value for key, value in changes.items() if value is not None})
        if changed == protocol:
            return protocol
        low, high = protocol.noise_sd_hu
        factor = noise_factor(protocol, changed)
        return replace(changed, noise_sd_hu=(low * factor, high * factor))


PLAIN = Take()
"""The only scan of a patient."""
