"""The works in DuckDB: duckdb_works.py w1|w1js|w2|w4 INPUT OUTPUT ordered|any THREADS

The columns are declared, so `ts` and `id` stay text as they are for the others and nothing is sniffed.
"""

import sys

import duckdb

workload, source, target, order, threads = sys.argv[1:]

COLUMNS = """{
  id: 'VARCHAR', seq: 'BIGINT', ts: 'VARCHAR', type: 'VARCHAR',
  user: 'STRUCT(id BIGINT, name VARCHAR, email VARCHAR, country VARCHAR, age BIGINT)',
  amount: 'DOUBLE', currency: 'VARCHAR', tags: 'VARCHAR[]', items: 'STRUCT(sku VARCHAR, qty BIGINT, price DOUBLE)[]',
  session: 'VARCHAR', ua: 'VARCHAR', ok: 'BOOLEAN', note: 'VARCHAR'
}"""

RIDES = """{
  VendorID: 'BIGINT', tpep_pickup_datetime: 'VARCHAR', tpep_dropoff_datetime: 'VARCHAR', passenger_count: 'BIGINT',
  trip_distance: 'DOUBLE', RatecodeID: 'BIGINT', store_and_fwd_flag: 'VARCHAR', PULocation: 'VARCHAR',
  DOLocation: 'VARCHAR', payment_type: 'BIGINT', fare_amount: 'DOUBLE', extra: 'DOUBLE', mta_tax: 'DOUBLE',
  tip_amount: 'DOUBLE', tolls_amount: 'DOUBLE', improvement_surcharge: 'DOUBLE', total_amount: 'DOUBLE',
  congestion_surcharge: 'DOUBLE'
}"""

W1 = """select id, seq, ts as timestamp, * exclude (id, seq, ts, ua), round(amount * 119) / 100 as total,
        {country} || ':' || "user".id as user_key from events where ok"""

SELECT = {
    "w1": W1.format(country='"user".country'),
    "w1js": W1.format(country='lower("user".country)'),
    "w2": "select * from rides where passenger_count > 0 and fare_amount > 10",
    "w4": "select * from events",
}


def text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


connection = duckdb.connect()
connection.execute(f"set threads = {int(threads)}")
connection.execute(f"set preserve_insertion_order = {'true' if order == 'ordered' else 'false'}")
events = f"select * from read_json({text(source)}, format = 'newline_delimited', columns = {COLUMNS})"
rides = f"""select * from read_csv({text(source)}, auto_detect = false, header = true, delim = ',', quote = '"', escape = '"',
    columns = {RIDES})"""
table = f"rides as ({rides})" if workload == "w2" else f"events as ({events})"
connection.execute(f"copy (with {table} {SELECT[workload]}) to {text(target)} (format json)")
