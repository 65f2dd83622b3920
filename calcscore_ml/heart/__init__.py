"""Where the heart lies in a scan."""

from calcscore_ml.heart.roi import HeartBox, find_heart_box

__all__ = ["HeartBox", "find_heart_box"]
