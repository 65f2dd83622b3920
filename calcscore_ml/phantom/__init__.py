"""The digital cohort: seeded chest CT scans without contrast agent, with known calcium.

A *deposit* is calcium as it is; a *lesion* of the truth table is a deposit within the slices.
"""

from calcscore_ml.phantom.cohort import write_cohort, write_digital_scan
from calcscore_ml.phantom.digital import DigitalScan, generate
from calcscore_ml.phantom.patient import Patient, draw_patient
from calcscore_ml.phantom.protocols import PROTOCOLS, Kernel, Protocol, find_protocol

__all__ = [
    "PROTOCOLS",
    "DigitalScan",
    "Kernel",
    "Patient",
    "Protocol",
    "draw_patient",
    "find_protocol",
    "generate",
    "write_cohort",
    "write_digital_scan",
]
