"""One converter per data set: which films, which labels, which patient."""

from hipdet.converters.fracatlas import convert_fracatlas
from hipdet.converters.hip_table import HipRow, films_of_table, read_hip_table
from hipdet.converters.phantom import convert_phantoms

__all__ = ["HipRow", "convert_fracatlas", "convert_phantoms", "films_of_table", "read_hip_table"]
