"""One check of a number's limits, and what it says."""

import math
from fractions import Fraction

import numpy as np
import pytest

from mlpspec.errors import InputError, expect_number
from mlpspec.network.neurons import ridge
from mlpspec.training.stopping import plateau


@pytest.mark.parametrize(
    ("value", "limits", "must"),
    [
        (0.0, {"above": 0.0}, "finite and above 0"),
        (math.inf, {"least": 0.0}, "finite and at least 0"),
        (math.nan, {"least": 0.0, "most": 1.0}, "at least 0 and at most 1"),
        (1.0, {"least": 0.0, "below": 1.0}, "at least 0 and below 1"),
        (-1.0, {"least": 0.0, "below": math.inf}, "at least 0 and finite"),
        (2e6, {"above": 0.0, "most": 1e6}, "above 0 and at most 1e6"),
        (1j, {"least": 0.0}, "finite and at least 0"),
        ("1", {"above": 0.0}, "finite and above 0"),
        (2.0, {"whole": True, "least": 1}, "a whole number"),
        ("2", {"whole": True}, "a whole number"),
        (0, {"whole": True, "least": 1}, "at least 1"),
        (-(10**400), {"whole": True, "least": 1}, "at least 1"),
    ],
)
def test_what_a_number_must_be(value, limits, must):
    with pytest.raises(InputError) as caught:
        expect_number("it", value, **limits)
    assert str(caught.value) == f"it; it must be {must}"


@pytest.mark.parametrize("value", [1, 1.0, True, np.float32(1.0), np.int64(1), Fraction(1)])
def test_numbers_of_any_type_are_taken(value):
    expect_number("it", value, least=1, most=1)


def test_what_was_taken_before_is_refused():
    with pytest.raises(InputError, match=r"plateau has every=2\.5; it must be a whole number"):
        plateau(every=2.5)
    with pytest.raises(InputError, match="ridge has epsilon=inf; it must be at least 0 and finite"):
        ridge(math.inf)
