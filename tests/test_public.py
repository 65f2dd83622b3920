"""Laws of the package's front door."""

import subprocess
import sys

import calcscore_ml


def test_public_names_are_these():
    """A name is added or removed on purpose, with a line in the changelog."""
    assert calcscore_ml.__all__ == sorted(calcscore_ml.__all__)
    assert set(calcscore_ml.__all__) == set(calcscore_ml._HOMES)
    assert len(calcscore_ml.__all__) == 25


def test_every_public_name_is_documented_and_there():
    """Each imports from where it says, and has a docstring."""
    for name in calcscore_ml.__all__:
        assert getattr(calcscore_ml, name).__doc__


def test_importing_the_package_and_help_load_no_numerical_library():
    """`calcscore --help` and `import calcscore_ml` are instant."""
    heavy = "{'numpy', 'scipy', 'sklearn', 'pandas', 'pydicom', 'SimpleITK', 'matplotlib'}"
    code = f"import sys, calcscore_ml, calcscore_ml.cli; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
