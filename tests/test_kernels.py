"""How sharp vendors' kernels are, by their names."""

import pytest

from calcscore_ml.kernels import Sharpness, sharpness
from calcscore_ml.phantom import KERNELS

NAMES = {
    Sharpness.SOFT: "A B UB XCB B10f B26f B30f B35f B40s Br36d Br40 Bf37 Qr36 Hr32 I26f SOFT STANDARD FC01 FC03 FC12 "
    "FC13 FC18 FC26 FC43 FC64",
    Sharpness.MEDIUM: "C YA CC B45f B46f Bv49 I49f DETAIL CHEST FC05 FC14",
    Sharpness.SHARP: "D E F L YB YC B50f B60f B70s B80f Br54 Br60 Bl57 Bl64 Bv59 Ur77u I70f LUNG BONE BONEPLUS EDGE "
    "FC30 FC35 FC50 FC51 FC55 FC56 FC81 FC86",
    Sharpness.UNKNOWN: "G Z FC77 FC1 B7 3 house",
}


@pytest.mark.parametrize(("name", "known"), [(n, known) for known, names in NAMES.items() for n in names.split()])
def test_a_name_says_how_sharp(name, known):
    """Names of four vendors are known in upper and lower case, with or without a strength behind."""
    for written in (name, name.lower(), f" {name} "):
        assert sharpness(written) is known
    if len(name) > 1:
        assert {sharpness(name + "\\3"), sharpness(name + "/3"), sharpness(f"['{name}', '3']")} == {known}


def test_no_name_is_unknown():
    """A header without a kernel, or with an empty one, says nothing; the sharpest of several words counts."""
    assert sharpness(None) is sharpness("") is sharpness(" ") is Sharpness.UNKNOWN
    assert sharpness("LUNG PLUS") is sharpness("STANDARD LUNG") is sharpness("Y-Sharp (YB)") is Sharpness.SHARP


def test_digital_kernels_are_in_the_table():
    """Every digital kernel is as sharp as its overshoot: none soft, more than a tenth of an edge sharp."""
    for kernel in KERNELS:
        known = sharpness(kernel.name)
        assert known is not Sharpness.UNKNOWN
        assert (known is Sharpness.SHARP) == (kernel.edge > 1), kernel.name
        assert (known is Sharpness.SOFT) == (kernel.edge == 0), kernel.name
