import csv
import io
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlpspec.data import tabular
from mlpspec.data.tabular import canonical_columns, column_names, content_hash, read_columns, scaled
from mlpspec.errors import InputError


@pytest.fixture
def read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def read(content, names=("a", "b"), *form):
        raw = content if isinstance(content, bytes) else content.encode()
        (tmp_path / "t.csv").write_bytes(raw)
        return read_columns("t.csv", content_hash("t.csv"), names, *form)

    return read


@pytest.mark.parametrize(
    "content",
    [
        "a,b\n1,2\n3,4\n",
        "\ufeffa,b\r\n1,2\r\n3,4\r\n",
        "b,skipped,a\n2,text,1\n4,,3",
        '"a", b \n\n"1",2\n"3"," 4 "\n\n',
        "a,b,c,c\n1,2e0,nan,inf\n+3,4.,x,y\n",
    ],
)
def test_tables_by_hand(read, content):
    np.testing.assert_array_equal(read(content), [[1, 2], [3, 4]])


FORMS = [
    ('"a";"b"\n1,5;2\n3;"4,25"\n', ("semicolon", "comma")),
    ("a;b\r\n1.5;2\r\n3;4.25\r\n", ("semicolon",)),
    ("\ufeffa;b;\n1,5;2,;\n+3,0;4,25e0;\n", ("semicolon", "comma")),
    ("b\ta\n2\t1.5\n4.25\t3\n", ("tab",)),
    ("a\tb\tc\n1.5\t2\t\n3\t4.25\t\n", ("tab",)),
    ('  a    b   "long name"\n  1.5  2    x\n\n 3\t4.25 "y z"  \n', ("space",)),
    ("a b\n1,5 2\n3 4,25", ("space", "comma")),
    ("a|b\n1.5|2\n3|4.25\n", ("bar",)),
    ('a,b\n"1,5","2"\n3,"4,25"\n', ("comma", "comma")),
    ("name,2019,a,b\n#x,1,1.5,2\n#y,1,3,4.25\n", ()),
]


@pytest.mark.parametrize(("content", "form"), FORMS)
def test_tables_as_others_write_them(read, content, form):
    np.testing.assert_array_equal(read(content, ("a", "b"), *form), [[1.5, 2], [3, 4.25]])


def test_columns_may_be_called_by_numbers_beside_one_that_is_not(read):
    table = read("country,2019,2020\nPeru,1,2\nChad,3,4\n", ("2019", "2020"))
    np.testing.assert_array_equal(table, [[1, 2], [3, 4]])


def test_names_may_be_quoted(read):
    table = read('"x, y","say ""z"""\n1,2\n3,4\n', column_names('"x, y","say ""z"""'))
    np.testing.assert_array_equal(table, [[1, 2], [3, 4]])
    assert canonical_columns(' a , "b,c"') == canonical_columns(("a", "b,c")) == 'a,"b,c"'
    assert canonical_columns("") == canonical_columns(()) == ""


BAD = [
    ("", "t.csv is empty; its first line must name the columns"),
    ("\n\n", "t.csv is empty"),
    ("a,b\n", "t.csv has 0 rows of data; at least 2 are needed"),
    ("a,b\n1,2\n", "t.csv has 1 rows of data; at least 2 are needed"),
    ("a,b\n1,2\n3,x\n", "t.csv, line 3, column 'b' is 'x'; it must be a finite number"),
    ("a,b\n1,2\n\n\n3,\n", "t.csv, line 5, column 'b' is ''; it must be a finite number"),
    ("a,b\n1,NaN\n3,4\n", "t.csv, line 2, column 'b' is 'NaN'; it must be a finite number"),
    ("a,b\n-inf,2\n3,4\n", "column 'a' is '-inf'; it must be a finite number"),
    ("a,b\n1e999,2\n3,4\n", "column 'a' is '1e999'; it must be a finite number"),
    ("a,b\n1_000,2\n3,4\n", "column 'a' is '1_000'; it must be a finite number"),
    ('a,b\n"1,5",2\n3,4\n', "column 'a' is '1,5'; it must be a finite number"),
    ("a,b\n1,2\n3\n", "t.csv, line 3 has 1 cells; the first line names 2 columns"),
    ("a,b\n1,2,3\n", "t.csv, line 2 has 3 cells; the first line names 2 columns"),
    ("a,bb\n1,2\n", "unknown column of t.csv 'b'; did you mean 'bb'?"),
    ("a;b\n1;2\n", "t.csv seems to be separated by semicolons; save it with commas"),
    ("a\tb\n1\t2\n", "t.csv seems to be separated by tabs; save it with commas"),
    ("a,b,a\n1,2,3\n", "t.csv has 2 columns 'a'; rename all but one"),
    ('a,b\n1,"2\n', "t.csv, line 2 is not CSV"),
    ('a,b\n1,"2"3\n', "t.csv, line 2 is not CSV"),
    ("a,b\n1," + "9" * 200_000 + "\n", "t.csv, line 2 is not CSV: field larger than field limit"),
    ("a,b\n1," + "x" * 999 + "\n", f"column 'b' is '{'x' * 30}...'; it must be"),
    (b"a,b\n1,\x00\n", "t.csv, line 2"),
    (b"a,b\n\xff,2\n", "t.csv is not UTF-8 (byte 5); save it as CSV in UTF-8"),
    ("a,b\n1,2\n".encode("utf-16"), "t.csv is not UTF-8 (byte 1)"),
    ("a,b\n1,2\n".encode("utf-16-le"), "t.csv is not UTF-8, but perhaps UTF-16; save it as CSV"),
    ("gr\u00f6\u00dfe,b\n1,2\n".encode("cp1252"), "t.csv is not UTF-8 (byte 3)"),
    ("1,2\n3,4\n5,6\n", "t.csv begins with numbers (1, 2); its first line must name the columns"),
    ('"a";"b"\n1;2\n3;4\n', "separated by semicolons; save it with commas, or give separator=semi"),
    (
        "a;b\n1,5;2\n3;4\n",
        "and has decimal commas; save it with commas and decimal points, or give",
    ),
    ("a;b\n1,5;2\n3;4\n", "give separator=semicolon decimal=comma"),
    ("a\tb\n1,5\t2\n3\t4\n", "give separator=tab decimal=comma"),
    (
        "a  b\n1  2\n3  4\n",
        "t.csv seems to be separated by blanks; save it with commas, or give sep",
    ),
    ("a|b\n1|2\n3|4\n", "give separator=bar"),
    ("a;b\n1;2\n3;?\n", "t.csv seems to be separated by semicolons; save it with commas, or give"),
    ("a;b\n1.500,5;2\n3;4\n", "or give separator=semicolon"),
    ("a\tb\n1,500\t2\n3\t4\n", "separated by tabs; save it with commas, or give separator=tab"),
    ('a,b\n"1,500",2\n3,4\n', "drop commas between thousands, or give decimal=comma"),
    ("a,b\n1 500,2\n3,4\n", "column 'a' is '1 500'; it must be a finite number"),
    ("a,b\n1'500,2\n3,4\n", "column 'a' is \"1'500\"; it must be a finite number"),
    ("a,b\n1,5,2\n3,4,4\n", "t.csv, line 2 has 3 cells; the first line names 2 columns"),
    ("# made by x\na,b\n1,2\n3,4\n", "t.csv begins with '# made by x'; its first line must"),
    ("sep=;\na;b\n1;2\n3;4\n", "t.csv begins with 'sep=;'; its first line must name the columns"),
    (
        "c,a,b\n1,1,2\n#1,3,4\n",
        "t.csv, line 3 begins with '#'; comments are not read: drop the line",
    ),
    ("a,b\n1,2\n,\n", "t.csv, line 3, column 'a' is ''; it must be a finite number"),
    ("a,b\n1,N/A\n3,4\n", "column 'b' is 'N/A'; it must be a finite number"),
    ("a,b\n1,9007199254740993\n3,4\n", "'b' has 9007199254740993, a whole number that doubles"),
    ("a,b\n1,-1582218195625938945.0\n3,4\n", "subtract an offset, such as its first value"),
    ("a,b\n1,0.1234567890123456789\n3,0.1234567890123456788\n", "'b' has 2 different values, of"),
    (
        "a,b\n1,1582218195.1234567\n2,1582218195.1234568\n",
        "of which doubles tell 1 apart; subtract",
    ),
    ("a,b\n1,20\n2,21\n3,-9999\n4,-9999.0\n", "column 'b' is -9999 in 2 of 4 rows"),
    ("a,b\n1,20\n2,21\n3,-999.25\n4,5\n", "the others are from 5 to 21: is it a missing value?"),
    ("a,b\n1,3\n2,5\n3,99\n4,1\n", "if it was measured, write it as 9.9e+1"),
    ("a,b\n1,350\n2,0\n3,999\n4,180\n", "column 'b' is 999 in 1 of 4 rows"),
    ("a,b\n1,350\n2,0\n3,-32768\n4,180\n", "column 'b' is -32768 in 1 of 4 rows"),
    ("a,b\n1,7\n2,7\n3,999\n4,-999\n", "999 in 1 of 4 rows, the others are from 7 to 7"),
]

NUMBERED = [
    ("5.1,3.5,setosa\n4.9,3.0,setosa\n7,3.2,other\n", ("5.1", "3.5")),
    ("2020-01-01,5,3\n2020-01-02,6,4\n2020-01-03,7,5\n", ("5", "3")),
    ("x;5,1;3,5\nx;4,9;3,0\n", ("5,1", "3,5"), "semicolon", "comma"),
    (",5,3\n,6,4\n,7,5\n", ("5", "3")),
]


@pytest.mark.parametrize("table", NUMBERED)
def test_a_table_without_header_is_not_shortened_by_a_row(read, table):
    with pytest.raises(InputError, match=r"t.csv begins with numbers .*put a line of names above"):
        read(*table)


@pytest.mark.parametrize(
    "cells",
    [
        "0 999 1000 500",  # among values of its size
        "20 21 -9.999e+3 22",  # written as the message says
        "0.5 99 450 20",
        "1 2 3 9",
        "9007199254740992 9007199254740994 10000000000000000 2",
        "1e16 10000000000000002.000 1e300 1",
        "0.1 0.10 1e-1 00.1 2",
    ],
)
def test_columns_that_only_look_odd_are_read(read, cells):
    table = read("a\n" + cells.replace(" ", "\n"), ("a",))
    assert table[:, 0].tolist() == [float(cell) for cell in cells.split()]


@pytest.mark.parametrize(("content", "message"), BAD, ids=[m[:50] for _, m in BAD])
def test_bad_tables_get_one_line(read, content, message):
    with pytest.raises(InputError) as error:
        read(content)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path, message in (
        ("absent.csv", "there is no file absent.csv"),
        (".", ". is not a file"),
        ("/dev/zero", "/dev/zero is not a file"),
        ("a" * 5000, "cannot read aaa"),
    ):
        with pytest.raises(InputError) as error:
            content_hash(path)
        assert message in str(error.value)
    with (tmp_path / "large.csv").open("wb") as file:
        file.truncate(tabular.MOST_BYTES + 1)  # sparse: no disk
    with pytest.raises(InputError, match=r"large.csv has 100 MB; files up to 100 MB are read"):
        content_hash("large.csv")


def test_a_changed_file_is_refused(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a\n1\n2\n")
    before = content_hash(str(path))
    path.write_text("a\n1\n3\n")
    with pytest.raises(InputError, match=f"has changed since it was described .*as {before}"):
        read_columns(str(path), before, ("a",))


@pytest.mark.parametrize("again", [b"a\r\n1\r\n2\r\n", b"\xef\xbb\xbfa\n1\n2", b"a\r1\r2\r"])
def test_another_line_end_is_named(tmp_path, again):
    path = tmp_path / "t.csv"
    path.write_bytes(b"a\n1\n2\n")
    before = content_hash(str(path))
    path.write_bytes(again)
    with pytest.raises(InputError, match="has changed only in its line ends or byte-order mark s"):
        read_columns(str(path), before, ("a",))


def exactly_scaled(column):
    """What `scaled` approximates, in rational arithmetic on what the doubles are."""
    values = [Fraction(value) for value in column]
    mean = sum(values) / len(values)
    reach = max(abs(value - mean) for value in values)
    return [float((value - mean) / reach) for value in values]


RAMP = np.arange(20.0)
FAR = {
    "unix seconds": 1582218195 + RAMP,
    "unix milliseconds": 1582218195625 + RAMP,
    "unix nanoseconds": 1582218195625938944 + 256 * RAMP,
    "neighbours at 1e16": 1e16 + 2 * RAMP,
    "below zero": -1e15 - RAMP**3 / 8,
    "julian days": 2459000.5 + RAMP / 86400,
    "near 1e300": 1e300 + 1e286 * RAMP,
    "near the largest": 1.79e308 * np.linspace(-1, 1, 20),
    "near 1e-300": 1e-300 + 1e-313 * RAMP,
    "denormal": 5e-324 * (1 + RAMP),
    "one far away": np.append(RAMP, 1e200),
    "three thousandths": 1749 + RAMP / 12,
}


@pytest.mark.parametrize("column", FAR.values(), ids=FAR)
def test_columns_far_from_zero_are_scaled_as_exactly_as_doubles_allow(column):
    rng = np.random.default_rng(3)
    for order in (column, column[::-1], rng.permutation(column)):
        x = scaled("t", order[:, None], "a", "columns")[:, 0]
        np.testing.assert_allclose(x, exactly_scaled(order), rtol=0, atol=1e-15)
        assert len(set(x)) == len(set(exactly_scaled(order)))
    both = np.stack([column, column[::-1]], axis=1)
    common = scaled("t", both, "ab", "common")
    np.testing.assert_allclose(common[:, 0], exactly_scaled(column), rtol=0, atol=1e-15)


def test_scaling_by_hand():
    table = np.array([[0.0, 10.0], [2.0, 50.0], [7.0, 30.0]])
    own = scaled("t", table, "ab", "columns")
    np.testing.assert_allclose(own, [[-0.75, -1], [-0.25, 1], [1, 0]], rtol=1e-15)
    common = scaled("t", table, "ab", "common")
    np.testing.assert_allclose(common, [[-0.15, -1], [-0.05, 1], [0.2, 0]], rtol=1e-15)


def test_huge_and_tiny_numbers_are_scaled_without_overflow():
    huge = np.array([[-1.7e308, 5e-324], [1.7e308, 0.0], [1.7e308, 0.0]])
    own = scaled("t", huge, "ab", "columns")
    np.testing.assert_allclose(own, [[-1, 1], [0.5, -0.5], [0.5, -0.5]], rtol=1e-12)
    common = scaled("t", huge, "ab", "common")
    np.testing.assert_allclose(common, [[-1, 0], [0.5, 0], [0.5, 0]], atol=1e-12)


@pytest.mark.parametrize("scaling", tabular.SCALINGS)
def test_a_constant_column_cannot_be_scaled(scaling):
    with pytest.raises(InputError, match="t: column 'b' is 2 in every row and cannot be scaled"):
        scaled("t", np.array([[1.0, 2.0], [2.0, 2.0], [4.0, 2.0]]), "ab", scaling)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,,b", "columns is 'a,,b'; it must look like width,length"),
        (",", "must look like"),
        (" ", "must look like"),
        ('"a', "must look like"),
        ("a\nb", "must look like"),
        ("a,b,a", "names a twice"),
    ],
)
def test_bad_names_get_one_line(text, message):
    with pytest.raises(InputError) as error:
        column_names(text)
    assert message in str(error.value)


FINITE = st.floats(allow_nan=False, allow_infinity=False)


@settings(derandomize=True, max_examples=60, deadline=None)
@given(st.lists(st.tuples(FINITE, FINITE), min_size=2, max_size=8), st.sampled_from(["\n", "\r\n"]))
def test_every_finite_number_reads_back_and_is_scaled_into_the_domain(
    tmp_path_factory, numbers, end
):
    path = str(tmp_path_factory.mktemp("csv") / "t.csv")
    with open(path, "w", newline="") as file:
        csv.writer(file, lineterminator=end).writerows([("a", "b"), *numbers])
    table = read_columns(path, content_hash(path), ("a", "b"))
    assert table.tolist() == [list(pair) for pair in numbers]
    if (table.min(axis=0) < table.max(axis=0)).all():
        for scaling in tabular.SCALINGS:
            x = scaled("t", table, "ab", scaling)
            assert np.abs(x).max() == 1.0
            np.testing.assert_allclose(x.mean(axis=0), 0.0, atol=1e-12)
            if scaling == "columns":
                exact = np.array([exactly_scaled(column) for column in table.T]).T
                np.testing.assert_allclose(x, exact, rtol=0, atol=1e-15)
            for column, own in zip(x.T, table.T, strict=True):  # the order is kept
                assert (np.diff(column[np.argsort(own)]) >= 0).all()


@settings(derandomize=True, max_examples=150, deadline=None)
@given(st.binary(max_size=40) | st.text(alphabet='a,b\n"1.e-\r\ufeff\0', max_size=40))
def test_any_bytes_are_a_table_or_one_line(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    raw = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(b"a,b\n" + raw)
    try:
        table = read_columns(str(path), content_hash(str(path)), ("a", "b"))
    except InputError as error:
        message = str(error)
    else:
        lines = [line for line in csv.reader(io.StringIO(raw.decode())) if line]
        assert table.shape == (len(lines), 2)
        message = ""
    assert "\n" not in message
