"""Reads the history at the URL given as argument again and again while points arrive.

Prints for each reader the row counts that it saw at a URL whose end is fixed, and its failures, as JSON."""

import json
import sys

import pandas as pd
import polars as pl
from duckdb_by_http import duckdb

history = sys.argv[1]
ROUNDS = 15



def fixed(form):
    """A URL whose end is fixed before the points that arrive."""
    return f"{history}?symbol=ACME&format={form}&provider=elsewhere&to=2024-03-20T10:59:00Z"


readers = {
    "pandas parquet": ("parquet", lambda url: len(pd.read_parquet(url))),
    "pandas csv": ("csv", lambda url: len(pd.read_csv(url))),
    "polars parquet": ("parquet", lambda url: len(pl.scan_parquet(url).collect())),
    "polars csv": ("csv", lambda url: len(pl.scan_csv(url).collect())),
    "duckdb parquet": ("parquet", lambda url: duckdb.sql(f"select count(*) from read_parquet('{url}')").fetchone()[0]),
    "duckdb csv": ("csv", lambda url: duckdb.sql(f"select count(*) from read_csv('{url}')").fetchone()[0]),
}

results = {}
for name, (form, read) in readers.items():
    seen, failures = set(), []
    for _ in range(ROUNDS):
        try:
            seen.add(read(fixed(form)))
            read(f"{history}?symbol=ACME&format={form}")
        except Exception as error:
            failures.append(f"{type(error).__name__}: {error}"[:300])
    results[name] = {"fixed": sorted(seen), "failures": failures}

print(json.dumps(results))
