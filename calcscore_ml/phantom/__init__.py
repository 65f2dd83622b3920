"""The digital cohort: seeded chest CT scans with known calcium.

A *deposit* is calcium as it is; a *lesion* of the truth table is a deposit within the slices; a *take* is one scan of a
patient among several.
"""

from calcscore_ml.phantom.cohort import write_cohort, write_digital_scan
from calcscore_ml.phantom.digital import DigitalScan, generate
from calcscore_ml.phantom.patient import Patient, draw_patient
from calcscore_ml.phantom.plan import Cohort, cohort_names, read_cohort
from calcscore_ml.phantom.protocols import KERNELS, PROTOCOLS, Kernel, Protocol, find_kernel, find_protocol
from calcscore_ml.phantom.take import Take

__all__ = [
    "KERNELS",
    "PROTOCOLS",
    "Cohort",
    "DigitalScan",
    "Kernel",
    "Patient",
    "Protocol",
    "Take",
    "cohort_names",
    "draw_patient",
    "find_kernel",
    "find_protocol",
    "generate",
    "read_cohort",
    "write_cohort",
    "write_digital_scan",
]
