"""DuckDB that reads by HTTP: `install httpfs` would fetch the extension from DuckDB's own server, so the installed one is
loaded."""

import importlib.util
from pathlib import Path

import duckdb

packages = importlib.util.find_spec("duckdb_ext").submodule_search_locations
extension = next(Path(packages[0]).glob("extensions/*/*/httpfs.duckdb_extension"))
duckdb.sql(f"load '{extension}'")
