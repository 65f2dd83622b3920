"""How a digital patient is scanned: the protocols of the cohort."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calcscore_ml.errors import RecipeError
from calcscore_ml.phantom.spectrum import Contrast, calcium_factor


@dataclass(frozen=True, slots=True)
class Kernel:
    """In-plane point spread and noise texture of a reconstruction kernel.

    The point spread is ``(1 + edge) G(sigma) - edge G(2 sigma)``: a Gaussian, with overshoot for edge enhancement.
    Noise has the same form with a width of its own: quanta are counted behind the focal spot and the detector's
    aperture, which blur what is seen and not the noise, so noise is finer than the point spread.

    Parameters
    ----------
    name : str
        Printed in the scan's header.
    sigma_mm : float
        Width of the main lobe.
    edge : float
        Overshoot, 0 for a smooth kernel; above 1/3 the transfer exceeds 1 at middle frequencies.
    noise_sigma_mm : float or None
        Width of the main lobe for noise; None: `sigma_mm`.
    """

    name: str
    sigma_mm: float
    edge: float = 0.0
    noise_sigma_mm: float | None = None

    @property
    def lobes(self) -> tuple[tuple[float, float], ...]:
        """Weights and widths [mm] of the Gaussians that add up to the point spread."""
        if self.edge == 0:
            return ((1.0, self.sigma_mm),)
        return ((1 + self.edge, self.sigma_mm), (-self.edge, 2 * self.sigma_mm))

    def mtf(self, frequency_per_mm: ArrayLike) -> NDArray[np.float64]:
        """Modulation transfer at spatial frequencies [1/mm]: the Fourier transform of the point spread.

        >>> SOFT.mtf([0.0]).tolist()
        [1.0]
        """
        f = np.asarray(frequency_per_mm, dtype=float)
        return np.asarray(sum(share * np.exp(-2 * (np.pi * sigma * f) ** 2) for share, sigma in self.lobes))

    def noise_mtf(self, frequency_per_mm: ArrayLike) -> NDArray[np.float64]:
        """Return what noise passes of a ramp-filtered white spectrum, at spatial frequencies [1/mm]."""
        return replace(self, sigma_mm=self.noise_sigma_mm or self.sigma_mm).mtf(frequency_per_mm)

    @property
    def noise_gain(self) -> float:
        """Noise SD relative to an ideal kernel, but for a constant: root of the integral of f^2 `noise_mtf`(f)^2."""
        f = np.linspace(0, 4, 4001)
        return float(np.sqrt(np.trapezoid(f**2 * self.noise_mtf(f) ** 2, f)))


SOFT = Kernel("soft", 0.65, noise_sigma_mm=0.54)
"""Body kernel of chest reports; full width at half maximum 1.5 mm (our choice); noise as fine as in 4D-Lung 113."""
STANDARD = Kernel("standard", 0.64, noise_sigma_mm=0.55)
"""Body kernel; full width at half maximum 1.5 mm (our choice); noise as fine as in Lung-PET-CT-Dx A0001."""
CALCIUM = Kernel("calcium", 0.58, noise_sigma_mm=0.44)
"""Kernel of calcium scoring: full width at half maximum 1.4 mm, no overshoot (our choice); noise as fine as in
CPTAC-PDA C3N-00249 and the scan of the QRM phantom."""
MEDIUM = Kernel("medium", 0.52, 0.6, noise_sigma_mm=0.47)
"""Sharper mediastinal kernel: its transfer rises to 1.05, a slight overshoot at edges (our choice)."""

SMOOTH = Kernel("smooth", 0.95, noise_sigma_mm=0.90)
"""Kernel of attenuation correction: full width at half maximum 2.2 mm (our choice)."""
SHARP = Kernel("sharp", 0.44, 1.5, noise_sigma_mm=0.38)
"""Edge-enhancing kernel: its transfer rises to 1.4 at 0.28 cycles per mm, between those of `MEDIUM` and `LUNG` (our
choice)."""
LUNG = Kernel("lung", 0.46, 3.0, noise_sigma_mm=0.37)
"""Strongest kernel of lung reports: its transfer rises to 2.1 at 0.3 cycles per mm. Lung-PET-CT-Dx A0001, the same
exposure through Philips' kernels B and L, has a ratio of spectra that rises steadily to 14 at 0.6 cycles per mm; times
the transfer of `STANDARD`, the point spread follows it within 0.12 up to there. The fit of both constants gave 0.454 mm
and 2.85."""
VESSEL = Kernel("vessel", 0.42, 0.1, noise_sigma_mm=0.38)
"""Kernel of coronary angiography (our choice)."""

ITERATIVE_GAIN = 0.5
"""Share of the noise SD that iterative reconstruction of strength 1 takes away (our choice)."""

KERNELS: tuple[Kernel, ...] = (SMOOTH, SOFT, STANDARD, CALCIUM, MEDIUM, VESSEL, SHARP, LUNG)
"""All kernels, by which series of the same exposure may differ."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """How a scan is acquired and reconstructed.

    Parameters
    ----------
    name : str
        Short and unique.
    kvp : float
        Tube voltage [kV].
    slice_thickness_mm, slice_spacing_mm : float
        Width of the slice profile, distance between slices.
    fov_mm : tuple of float
        Least and greatest field of view; a patient draws one between.
    matrix : int
        Pixels along each side of a slice.
    kernel : Kernel
        Point spread and noise texture.
    noise_sd_hu : tuple of float
        Least and greatest noise SD in the aortic root of a patient of average size; a patient draws one between.
    gated : bool
        Triggered by the heart's rhythm. Without it the heart is smeared by its motion.
    z_range_mm : tuple of float
        Lowest and highest slice, above the aortic valve.
    calcium_hu_per_mg_ml : float
        HU per mg/ml of hydroxyapatite at 120 kV without filter, a property of the scanner; 1/0.74 is within four
        scanners' spread (Fujioka 2012: 0.70 to 0.83). See `calcium_gain`.
    heart_centred : bool
        Whether the field of view is centred on the heart instead of on the chest.
    circular : bool
        Whether pixels outside the inscribed circle are padding.
    share : float
        How often the cohort draws this protocol, relative to the others; 0 for those only drawn when named.
    filter : {'', 'tin'}
        Filter of the beam beyond the usual.
    contrast : Contrast or None
        Contrast agent, if any.
    breathing_mm : float
        Travel of the heart between breathing in and out, up and down, when the patient breathes during the scan.
    starved : bool
        Whether so few photons pass the shoulders that their slices are streaked.
    iterative : float
        Strength of iterative reconstruction, 0 (filtered backprojection) to 1: less noise, and coarser.
    dose_modulation : tuple of float
        Least and greatest share of the attenuation's effect on noise that the tube current makes up for; a patient
        draws one between.
    """

    name: str
    kvp: float = 120.0
    slice_thickness_mm: float = 3.0
    slice_spacing_mm: float = 3.0
    fov_mm: tuple[float, float] = (200.0, 250.0)
    matrix: int = 512
    kernel: Kernel = CALCIUM
    noise_sd_hu: tuple[float, float] = (12.0, 22.0)
    gated: bool = True
    z_range_mm: tuple[float, float] = (-96.0, 45.0)
    calcium_hu_per_mg_ml: float = 1.35
    heart_centred: bool = True
    circular: bool = False
    share: float = 1.0
    filter: Literal["", "tin"] = ""
    contrast: Contrast | None = None
    breathing_mm: float = 0.0
    starved: bool = False
    iterative: float = 0.0
    dose_modulation: tuple[float, float] = (0.2, 0.6)

    @property
    def spectrum_factor(self) -> float:
        """HU of calcium relative to 120 kV without filter."""
        return calcium_factor(self.kvp, tin=self.filter == "tin")

    @property
    def calcium_gain(self) -> float:
        """HU per mg/ml of hydroxyapatite at this spectrum."""
        return self.calcium_hu_per_mg_ml * self.spectrum_factor

    @property
    def slices(self) -> int:
        """How many slices the range holds.

        >>> PROTOCOLS[0].slices
        48
        """
        low, high = self.z_range_mm
        return round((high - low) / self.slice_spacing_mm) + 1


Named = TypeVar("Named", Kernel, Protocol)

PROTOCOLS: tuple[Protocol, ...] = (
    Protocol("gated-3mm", share=4.0),
    Protocol("gated-2.5mm", slice_thickness_mm=2.5, slice_spacing_mm=2.5, fov_mm=(220.0, 280.0), kernel=SOFT,
             noise_sd_hu=(12.0, 24.0), z_range_mm=(-95.0, 55.0), calcium_hu_per_mg_ml=1.41, circular=True, share=2.0),
    Protocol("gated-3mm-overlap", slice_spacing_mm=1.5, fov_mm=(230.0, 250.0), noise_sd_hu=(12.0, 20.0),
             z_range_mm=(-96.0, 48.0), share=1.0),
    Protocol("chest-low-dose-3mm", fov_mm=(320.0, 400.0), kernel=SOFT, noise_sd_hu=(19.0, 33.0), gated=False,
             z_range_mm=(-135.0, 132.0), heart_centred=False, share=2.0, starved=True, dose_modulation=(0.3, 0.8)),
    Protocol("chest-5mm", slice_thickness_mm=5.0, slice_spacing_mm=5.0, fov_mm=(350.0, 430.0), kernel=STANDARD,
             noise_sd_hu=(5.5, 10.5), gated=False, z_range_mm=(-140.0, 140.0), heart_centred=False, share=1.5,
             dose_modulation=(0.3, 0.8)),
    Protocol("chest-2.5mm", slice_thickness_mm=2.5, slice_spacing_mm=2.5, fov_mm=(320.0, 400.0), kernel=MEDIUM,
             noise_sd_hu=(16.0, 26.0), gated=False, z_range_mm=(-120.0, 120.0), calcium_hu_per_mg_ml=1.41,
             heart_centred=False, share=1.0, dose_modulation=(0.3, 0.8)),
    Protocol("planning-3mm", fov_mm=(500.0, 500.0), kernel=SOFT, noise_sd_hu=(12.0, 21.0), gated=False,
             z_range_mm=(-140.0, 130.0), calcium_hu_per_mg_ml=1.3, heart_centred=False, share=0.7,
             dose_modulation=(0.0, 0.2)),
    Protocol("gated-3mm-100kv", kvp=100.0, noise_sd_hu=(14.0, 24.0), share=0.7),
    Protocol("gated-3mm-80kv", kvp=80.0, noise_sd_hu=(18.0, 28.0), share=0.3),
    Protocol("gated-3mm-tin", kvp=100.0, filter="tin", noise_sd_hu=(16.0, 26.0), share=0.5, iterative=0.5),
    Protocol("chest-1mm", slice_thickness_mm=1.0, slice_spacing_mm=1.0, fov_mm=(300.0, 360.0), kernel=MEDIUM,
             noise_sd_hu=(28.0, 45.0), gated=False, z_range_mm=(-80.0, 40.0), calcium_hu_per_mg_ml=1.41,
             heart_centred=False, share=0.3, dose_modulation=(0.3, 0.8)),
    Protocol("chest-5mm-sharp", slice_thickness_mm=5.0, slice_spacing_mm=5.0, fov_mm=(320.0, 430.0), kernel=SHARP,
             noise_sd_hu=(22.0, 42.0), gated=False, z_range_mm=(-140.0, 140.0), heart_centred=False, share=0.8,
             dose_modulation=(0.3, 0.8)),
    Protocol("chest-5mm-lung", slice_thickness_mm=5.0, slice_spacing_mm=5.0, fov_mm=(320.0, 430.0), kernel=LUNG,
             noise_sd_hu=(28.0, 50.0), gated=False, z_range_mm=(-140.0, 140.0), heart_centred=False, share=0.6,
             dose_modulation=(0.3, 0.8)),
    Protocol("chest-3mm-lung", fov_mm=(300.0, 400.0), kernel=LUNG, noise_sd_hu=(30.0, 60.0), gated=False,
             z_range_mm=(-125.0, 120.0), heart_centred=False, share=0.7, dose_modulation=(0.3, 0.8)),
    Protocol("chest-1.25mm-sharp", slice_thickness_mm=1.25, slice_spacing_mm=1.25, fov_mm=(300.0, 360.0), matrix=400,
             kernel=SHARP, noise_sd_hu=(30.0, 50.0), gated=False, z_range_mm=(-85.0, 45.0), calcium_hu_per_mg_ml=1.41,
             heart_centred=False, share=0.8, dose_modulation=(0.3, 0.8)),
    Protocol("attenuation-5mm", slice_thickness_mm=5.0, slice_spacing_mm=5.0, fov_mm=(500.0, 500.0), kernel=SMOOTH,
             noise_sd_hu=(14.0, 26.0), gated=False, z_range_mm=(-140.0, 140.0), heart_centred=False, share=0.0,
             breathing_mm=9.0, starved=True),
    Protocol("chest-contrast-3mm", fov_mm=(380.0, 460.0), noise_sd_hu=(13.0, 23.0), gated=False,
             z_range_mm=(-140.0, 140.0), heart_centred=False, share=0.0, dose_modulation=(0.7, 1.0),
             contrast=Contrast("venous", (95.0, 140.0))),
    Protocol("angiography", slice_thickness_mm=0.75, slice_spacing_mm=0.75, fov_mm=(170.0, 200.0), matrix=384,
             kernel=VESSEL, noise_sd_hu=(20.0, 32.0), z_range_mm=(-60.0, 30.0), share=0.0, iterative=0.4,
             contrast=Contrast("arterial", (300.0, 500.0))),
)  # fmt: skip
"""The cohort's protocols. Noise, fields of view and kernels are our choices, set by comparison with real scans."""


def find_protocol(name: str) -> Protocol:
    """Return the protocol of that name.

    Raises
    ------
    RecipeError
        When there is none; the message lists those there are.

    >>> find_protocol("chest-5mm").slice_thickness_mm
    5.0
    """
    return _find(PROTOCOLS, name, "a protocol")


def find_kernel(name: str) -> Kernel:
    """Return the kernel of that name.

    Raises
    ------
    RecipeError
        When there is none; the message lists those there are.

    >>> find_kernel("soft").sigma_mm
    0.65
    """
    return _find(KERNELS, name, "a kernel")


def noise_factor(protocol: Protocol, other: Protocol) -> float:
    """Return how many times noisier `other` is at the same tube current.

    Noise SD goes with the inverse root of the photons that reach a voxel: slice thickness, and output of the tube
    behind a patient, which grows with about the 2.5th power of the voltage; a tin filter takes 80 % of it (our
    choices). The kernel adds what it passes of a ramp-filtered white spectrum.
    """
    photons = (other.slice_thickness_mm / protocol.slice_thickness_mm) * (other.kvp / protocol.kvp) ** 2.5
    photons *= {"": 1.0, "tin": 0.2}[other.filter] / {"": 1.0, "tin": 0.2}[protocol.filter]
    spared = (1 - ITERATIVE_GAIN * other.iterative) / (1 - ITERATIVE_GAIN * protocol.iterative)
    return spared * other.kernel.noise_gain / protocol.kernel.noise_gain / float(np.sqrt(photons))


def _find(named: tuple[Named, ...], name: str, what: str) -> Named:
    for one in named:
        if one.name == name:
            return one
    raise RecipeError(f"{what} must be one of {', '.join(one.name for one in named)}; got {name!r}")
