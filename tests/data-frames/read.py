"""Reads the history at the URL given as argument with each reader, as docs/exports.md shows it.

Prints the number of rows and the widest price of each as JSON."""

import json
import sys
from decimal import Decimal
from urllib.request import urlopen

import pandas as pd
import polars as pl
from duckdb_by_http import duckdb

url = sys.argv[1] + "?symbol=ACME"
results = {}


def add(reader, rows, widest):
    results[reader] = {"rows": rows, "widest": f"{Decimal(widest).normalize():f}"}


frame = pd.read_parquet(f"{url}&format=parquet")
add("pandas parquet", len(frame), frame.price.max())

frame = pd.read_csv(f"{url}&format=csv", converters={"price": Decimal, "moving_average": Decimal})
add("pandas csv", len(frame), frame.price.max())

frame = pl.read_parquet(f"{url}&format=parquet")
add("polars parquet", len(frame), frame["price"].max())

frame = pl.scan_parquet(f"{url}&format=parquet").select("price").collect()
add("polars scan_parquet", len(frame), frame["price"].max())

frame = pl.read_csv(f"{url}&format=csv", schema_overrides={"price": pl.Decimal(31, 20)})
add("polars csv", len(frame), frame["price"].max())

frame = pl.scan_csv(f"{url}&format=csv", schema_overrides={"price": pl.Decimal(31, 20)}).collect()
add("polars scan_csv", len(frame), frame["price"].max())

rows, widest = duckdb.sql(f"select count(*), max(price) from read_parquet('{url}&format=parquet')").fetchone()
add("duckdb parquet", rows, widest)

rows, widest = duckdb.sql(
    f"select count(*), max(price) from read_csv('{url}&format=csv', types={{'price': 'decimal(31,20)'}})"
).fetchone()
add("duckdb csv", rows, widest)

lines = [json.loads(line, parse_float=Decimal) for line in urlopen(f"{url}&format=ndjson")]
add("python ndjson", len(lines), max(line["price"] for line in lines))

print(json.dumps(results))
