import csv
import io

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

    def read(content, names=("a", "b")):
        raw = content if isinstance(content, bytes) else content.encode()
        (tmp_path / "t.csv").write_bytes(raw)
        return read_columns("t.csv", content_hash("t.csv"), names)

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
]


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
