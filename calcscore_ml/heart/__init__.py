"""Where the heart lies in a scan."""

from calcscore_ml.heart.roi import HeartBox, find_heart_box
from calcscore_ml.heart.slicewise import find_heart_box_by_slices

__all__ = ["HeartBox", "find_heart_box", "find_heart_box_by_slices"]
