"""``python -m calcscore_ml``: the same as ``calcscore``."""

from calcscore_ml.cli import main

main()
