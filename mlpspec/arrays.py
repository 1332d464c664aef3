"""The type of arrays, for every room."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]
"""Numbers of float64 or float32; docstrings give the shape."""
