"""Everything calcscore-ml raises on purpose.

A message states the rule, then what came, then which file, then what to do. Each class is also the builtin error a
caller would expect, so ``except ValueError`` keeps working.
"""


class CalcscoreError(Exception):
    """Base of all errors raised by calcscore-ml."""


class GeometryError(CalcscoreError, ValueError):
    """A grid that is mirrored, sheared, empty or does not fit another."""


class ScanError(CalcscoreError, ValueError):
    """A file or folder that cannot be read as one CT scan."""


class SeriesChoiceError(ScanError):
    """A folder holds several series and none was chosen.

    Parameters
    ----------
    message : str
        What the user reads.
    series : tuple of str
        One line per series found.
    """

    def __init__(self, message: str, series: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.series = series


class ManifestError(CalcscoreError, ValueError):
    """A manifest row that breaks a rule."""


class RecipeError(CalcscoreError, ValueError):
    """A recipe with an unknown key, a wrong type or a value out of range."""


class ModelError(CalcscoreError, ValueError):
    """A model bundle that is unsafe, incomplete, altered or does not fit the feature table."""


class ResultError(CalcscoreError, ValueError):
    """A stored result that cannot be read, or would be overwritten."""


class ReviewError(CalcscoreError, ValueError):
    """A decision that does not fit the reading it is made in, or a table of decisions that breaks a rule."""


class StoreError(ReviewError, OSError):
    """A store of decisions that cannot be opened, read or written."""
