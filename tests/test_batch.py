"""Laws of many scans: none stops the others."""

import pytest

from calcscore_ml.batch import for_each
from calcscore_ml.errors import ScanError


def halve(number):
    if number == 3:
        raise ScanError("three is no scan")
    if number == 5:
        raise ZeroDivisionError("a fault of ours")
    return number / 2


@pytest.mark.parametrize("workers", [1, 2])
def test_errors_become_outcomes(workers):
    """A bad scan tells its error, a fault of the program says so, and all others have values."""
    outcomes = {o.item: o for o in for_each(halve, list(range(7)), workers)}
    assert sorted(outcomes) == list(range(7))
    assert outcomes[3].error == "three is no scan"
    assert "please report" in outcomes[5].error
    assert "test_batch.py" in outcomes[5].error
    assert [outcomes[i].value for i in (0, 1, 2, 4, 6)] == [0, 0.5, 1, 2, 3]
