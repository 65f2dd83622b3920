"""What all tests share."""

import fcntl
import os

import pytest
from hypothesis import HealthCheck, settings
from services import postgresql  # noqa: F401 (a fixture)
from shared_scans import located_chest, located_digital, once  # noqa: F401 (fixtures)

from calcscore_ml.manifest import read_manifest
from calcscore_ml.models.bundle import save_bundle
from calcscore_ml.phantom import Cohort, Protocol, write_cohort
from calcscore_ml.recipe import parse_recipe
from calcscore_ml.training import lesion_table, train

# Machines are shared: a slow moment is no failure. The seed is fixed, so a failure is the same everywhere.
settings.register_profile(
    "calcscore", deadline=None, derandomize=True, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
# `make search` looks for new ones.
settings.register_profile("search", parent=settings.get_profile("calcscore"), derandomize=False, max_examples=600)
settings.load_profile(os.environ.get("CALCSCORE_HYPOTHESIS", "calcscore"))


SMALL = Protocol(
    "small",
    matrix=160,
    fov_mm=(230.0, 240.0),
    slice_thickness_mm=4.0,
    slice_spacing_mm=4.0,
    z_range_mm=(-80.0, 40.0),
    noise_sd_hu=(8.0, 14.0),
)
"""A protocol whose scans are made and scored in about a second."""


@pytest.fixture(scope="session")
def cohort(tmp_path_factory, worker_id):
    """A small digital cohort on disk, made once for all that test at a time: its manifest's path."""
    base = tmp_path_factory.getbasetemp()
    base = base if worker_id == "master" else base.parent
    with (base / "cohort.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the others wait until it is whole
        write_cohort(base / "cohort", Cohort(count=16, seed=13, protocols=(SMALL,), image_format="nifti"))
    return base / "cohort" / "data_manifest.csv"


@pytest.fixture(scope="session")
def recipe():
    """A recipe that trains in seconds: few features, small ensembles."""
    return parse_recipe(
        {
            "name": "small",
            "location": {"atlases": ""},
            "features": {"families": ["size", "intensity", "location"], "gaussian_scales_mm": [2, 4]},
            "model": {"parameters": {}},
        },
        "the tests",
    )


@pytest.fixture(scope="session")
def bundle(cohort, recipe):
    """A model trained on the small cohort."""
    rows = [r for r in read_manifest(cohort) if r.split == "train"]
    return train(lesion_table(rows, recipe), recipe, trained_on="16 small digital patients")


@pytest.fixture(scope="session")
def model(bundle, tmp_path_factory):
    """The same on disk."""
    return save_bundle(tmp_path_factory.mktemp("models") / "small", bundle)
