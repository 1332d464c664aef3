from functools import cache

BLOCK = 2**16


@cache
def row_blocks(n_rows, n_columns):
    step = max(1, BLOCK // n_columns)
    return tuple(slice(start, start + step) for start in range(0, n_rows, step))
