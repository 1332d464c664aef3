from functools import cache

from mlpspec.training.engine import why_not_compiled

BLOCK = 2**16


@cache
def row_blocks(n_rows, n_columns):
    step = max(1, BLOCK // n_columns)
    return tuple(slice(start, start + step) for start in range(0, n_rows, step))


def compiled_by():
    from importlib.metadata import version

    return None if why_not_compiled() else version("numba")


def load_compiled(dtype, *, all_of_it=False):
    pass
