"""The works in Polars, streaming and in order: polars_works.py w1|w1js|w2 INPUT OUTPUT

The columns are declared, as for DuckDB. round() is told to go away from zero, as that of the others does.
"""

import sys

import polars as pl

workload, source, target = sys.argv[1:]

EVENTS = {
    "id": pl.String,
    "seq": pl.Int64,
    "ts": pl.String,
    "type": pl.String,
    "user": pl.Struct({"id": pl.Int64, "name": pl.String, "email": pl.String, "country": pl.String, "age": pl.Int64}),
    "amount": pl.Float64,
    "currency": pl.String,
    "tags": pl.List(pl.String),
    "items": pl.List(pl.Struct({"sku": pl.String, "qty": pl.Int64, "price": pl.Float64})),
    "session": pl.String,
    "ua": pl.String,
    "ok": pl.Boolean,
    "note": pl.String,
}

RIDES = {
    "VendorID": pl.Int64,
    "tpep_pickup_datetime": pl.String,
    "tpep_dropoff_datetime": pl.String,
    "passenger_count": pl.Int64,
    "trip_distance": pl.Float64,
    "RatecodeID": pl.Int64,
    "store_and_fwd_flag": pl.String,
    "PULocation": pl.String,
    "DOLocation": pl.String,
    "payment_type": pl.Int64,
    "fare_amount": pl.Float64,
    "extra": pl.Float64,
    "mta_tax": pl.Float64,
    "tip_amount": pl.Float64,
    "tolls_amount": pl.Float64,
    "improvement_surcharge": pl.Float64,
    "total_amount": pl.Float64,
    "congestion_surcharge": pl.Float64,
}


def w1(country: pl.Expr) -> pl.LazyFrame:
    total = (pl.col("amount") * 119).round(mode="half_away_from_zero") / 100
    user_key = country + ":" + pl.col("user").struct.field("id").cast(pl.String)
    kept = pl.scan_ndjson(source, schema=EVENTS).filter(pl.col("ok"))
    return kept.rename({"ts": "timestamp"}).drop("ua").with_columns(total.alias("total"), user_key.alias("user_key"))


def w2() -> pl.LazyFrame:
    rides = pl.scan_csv(source, schema=RIDES)
    return rides.filter((pl.col("passenger_count") > 0) & (pl.col("fare_amount") > 10))


country = pl.col("user").struct.field("country")
frame = w2() if workload == "w2" else w1(country.str.to_lowercase() if workload == "w1js" else country)
frame.sink_ndjson(target)
