"""Where the model lies that comes with the package."""

from __future__ import annotations

from pathlib import Path

from calcscore_ml.errors import ModelError

DEFAULT_FOLDER = Path(__file__).with_name("default_bundle")
"""Bundle trained on the digital cohort by ``scripts/build_default_model.py``; its card says how."""


def default_model() -> Path:
    """Return the folder of the built-in model.

    Raises
    ------
    ModelError
        When the installation lacks it.
    """
    if not DEFAULT_FOLDER.is_dir():
        raise ModelError(
            f"the built-in model must lie in {DEFAULT_FOLDER}, got no such folder; reinstall, or name one with --model"
        )
    return DEFAULT_FOLDER
