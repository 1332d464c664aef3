from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlpspec.data.spec import Call, build, parse_call
from mlpspec.errors import InputError


@pytest.mark.parametrize(
    ("text", "name", "args", "kwargs"),
    [
        ("uniform", "uniform", (), {}),
        (" uniform( ) ", "uniform", (), {}),
        ("grid(0.5)", "grid", (0.5,), {}),
        ("grid(-.5, jitter = -2)", "grid", (-0.5,), {"jitter": -2}),
        ("a(True, None, b='c,)(', d=1e-3)", "a", (True, None), {"b": "c,)(", "d": 1e-3}),
        ("my.module:Loss(3)", "my.module:Loss", (3,), {}),
        ("/a (b)/c(1).py:Loss(scale=2)", "/a (b)/c(1).py:Loss", (), {"scale": 2}),
        ("/a (b)/loss.py:Loss", "/a (b)/loss.py:Loss", (), {}),
        ("a(b=(1, 2))", "a", (), {"b": (1, 2)}),
        (r"a('\d')", "a", (r"\d",), {}),
    ],
)
def test_calls_by_hand(text, name, args, kwargs):
    assert parse_call(text) == Call(name, args, kwargs)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' cannot be read; it must look like NAME or NAME(argument=1.5)"),
        ("()", "'()' cannot be read"),
        (" (1)", "'(1)' cannot be read"),
        ("a(", "'a(' cannot be read"),
        ("a)", "'a)' cannot be read"),
        ("a(1", "'a(1' cannot be read"),
        ("a(1,,2)", "cannot be read"),
        ("a(b=1, 2)", "cannot be read"),
        ("a(**{})", "cannot be read"),
        ("a(\0)", "cannot be read"),
        ("a(" * 5000 + ")" * 5000, "cannot be read"),
        ("a(b=1, b=2)", "'a(b=1, b=2)' gives b twice; keep one"),
        ("a(b=c)", "has the argument c, which is no literal; give a number, a quoted text"),
        ("a(__import__('os').system('true'))", "has the argument __import__('os').system('true')"),
        ("a(*[1])", "which is no literal"),
        ("a(1 + 1)", "which is no literal"),
        ("a(-'b')", "which is no literal"),
        ("a(b for b in ())", "which is no literal"),
    ],
)
def test_bad_calls_get_one_line(text, message):
    with pytest.raises(InputError) as error:
        parse_call(text)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@settings(derandomize=True, max_examples=50, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["a", "radius", "x1"]),
        st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text() | st.none(),
    ),
    st.lists(st.booleans() | st.text(), max_size=2),
)
def test_what_is_written_reads_back(kwargs, args):
    call = Call("mine.py:Loss", tuple(args), kwargs)
    assert parse_call(str(call)) == call


@settings(derandomize=True, max_examples=100, deadline=None)
@given(st.text(alphabet="ab(),='\"\\ 1-.*", max_size=20))
def test_any_text_is_a_call_or_an_input_error(text):
    with suppress(InputError):
        assert parse_call(text).name


def test_what_is_given_beside_a_description_is_no_argument_of_it():
    known = {"line": lambda x=1.0, slope=0.0, offset=0.0: slope * x + offset}
    assert build("line(2)", known, "function", slope=3.0, offset=1.0) == 7.0
    for name in ("slope", "offset"):
        with pytest.raises(InputError, match=f"unknown argument of line '{name}'; known: x"):
            build(f"line({name}=2.0)", known, "function", slope=3.0, offset=1.0)
