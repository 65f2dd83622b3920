"""Scans that are dear to make or to locate, once for all workers of a run."""

import fcntl

import joblib
import pytest

from calcscore_ml.heart.atlas import read_atlases
from calcscore_ml.heart.locate import locate
from calcscore_ml.io import read_scan
from calcscore_ml.phantom import generate

CHEST = "data/lung-pet-ct-dx-a0001-heart"


@pytest.fixture(scope="session")
def once(tmp_path_factory, worker_id):
    """A function of a name and of what makes a thing: whoever asks first makes it, all others read its file."""
    base = tmp_path_factory.getbasetemp()
    base = base if worker_id == "master" else base.parent

    def once(name, make):
        file = base / f"{name}.joblib"
        with file.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # the others wait until it is whole
            if not file.exists():
                joblib.dump(make(), file)
        return joblib.load(file)

    return once


@pytest.fixture(scope="session")
def located_chest(once):
    """The chest scan of the repository and its location by the atlases of the package, as many threads as there are."""

    def make():
        scan = read_scan(CHEST)
        return scan, locate(scan, read_atlases())

    return once("located_chest", make)


@pytest.fixture(scope="session")
def located_digital(once):
    """A gated digital scan that cuts the lungs off, and its location."""

    def make():
        digital = generate(4711, "gated-3mm")
        return digital, locate(digital.scan, read_atlases())

    return once("located_digital", make)
