"""
Runs a DAG with `airflow dags test` on the Airflow of this environment, looks at what it left, and holds the time that parsing
takes against BashOperator's. Says what it saw; ends with 1 where something is wrong.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
ORDERS = 1000
#: Parsing costs at most so many times what it does with BashOperator.
MOST = 1.2

PIPELINE = """
parameters: { least: { type: int, default: 0 } }
pipeline:
  - { name: read_file, config: { path: orders.ndjson } }
  - { name: parse_json }
  - { name: filter, config: { where: total >= params.least } }
  - { name: write_file, config: { path: %s.ndjson } }
"""

PARSE = """
import gc, inspect, sys, time
from pathlib import Path
from airflow import __version__
if __version__.startswith("2."):
    from airflow.models.dagbag import DagBag
else:
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:
        from airflow.models.dagbag import DagBag
options = {"include_examples": False} if "include_examples" in inspect.signature(DagBag).parameters else {}
times = {}
for name in ("bash", "oxi") * 20:
    gc.collect()
    began = time.process_time()
    bag = DagBag(Path(sys.argv[1]) / name, **options)
    took = time.process_time() - began
    assert not bag.import_errors, bag.import_errors
    assert len(bag.dags[name].tasks) == 200
    times[name] = min(took, times.get(name, took))
print(times["bash"], times["oxi"])
"""

TWO_HUNDRED = """
from datetime import datetime
try:
    from airflow.sdk import DAG
except ImportError:
    from airflow import DAG
%s
with DAG("%s", schedule=None, start_date=datetime(2026, 1, 1)):
    last = None
    for i in range(200):
        task = %s
        last = task
"""


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="oxiflow-matrix-") as folder:
        home = Path(folder)
        shop = home / "shop"
        env = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "OXIFLOW"))},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "AIRFLOW_HOME": folder,
            "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW_CONN_SHOP_DB": "postgres://shop:" + "a-secret@db/orders",
            "OXIFLOW_RUNNER": str(ROOT / "dist/oxiflow.mjs"),
            "SHOP": str(shop),
        }
        make_shop(shop)
        (home / "dags").mkdir()
        (home / "dags/dag.py").write_text((HERE / "dag.py").read_text())
        version = importlib.metadata.version("apache-airflow")
        airflow(env, "db", "migrate")
        if version.startswith("3."):
            airflow(env, "dags", "reserialize")
        said = airflow(env, "dags", "test", "matrix")
        # Airflow 3.0 itself tells what it is asked to mask, on the console of `dags test` and nowhere else.
        told = [line for line in said.splitlines() if "a-secret" in line and "msg=MaskSecret(" not in line]
        assert not told, f"the secret of a connection is in the log: {told[:3]}"
        look_at(home, shop)
        if version.startswith("2."):
            look_at_the_form(env)
        bash, oxi = parse(env, home)
        print(
            f"Airflow {version}: runs; parsing 200 tasks {oxi * 1000:.0f} ms, with BashOperator {bash * 1000:.0f} ms",
            end="",
        )
        print(f", {oxi / bash:.2f} times")
        assert oxi <= bash * MOST, f"parsing costs more than {MOST} times what it does with BashOperator"


def make_shop(shop: Path) -> None:
    (shop / "pipelines").mkdir(parents=True)
    for name in ("all", "big", "big2", "big3"):
        (shop / f"pipelines/{name}.yaml").write_text(PIPELINE % name)
    rows = ({"order": number, "total": number % 50} for number in range(ORDERS))
    (shop / "orders.ndjson").write_text("".join(json.dumps(row) + "\n" for row in rows))


def airflow(env: dict[str, str], *words: str) -> str:
    program = str(Path(sys.executable).with_name("airflow"))
    done = subprocess.run(
        [program, *words], env=env, cwd=env["AIRFLOW_HOME"], capture_output=True, text=True, check=False, timeout=900
    )
    assert done.returncode == 0, f"airflow {' '.join(words)}:\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
    return done.stdout + done.stderr


def look_at(home: Path, shop: Path) -> None:
    for name, least in (("all", 0), ("big", 25), ("big2", 40), ("big3", 40)):
        rows = [json.loads(line)["order"] for line in (shop / f"{name}.ndjson").read_text().splitlines()]
        assert rows == [number for number in range(ORDERS) if number % 50 >= least], name
    with sqlite3.connect(home / "airflow.db") as database:
        found = database.execute("select task_id, map_index, key, value from xcom").fetchall()
    kept = {(task, index, key): value for task, index, key, value in found}
    summary = value_of(kept["transform_data", -1, "return_value"])
    assert summary["rows"] == ORDERS // 2, summary
    assert summary["run_key"].endswith("/transform_data/big"), summary
    keys = {value_of(kept["each", index, "return_value"])["run_key"] for index in (0, 1)}
    assert len(keys) == 2, keys
    document = kept.get(("transform_data", -1, "oxiflow_run"))
    if document is not None:
        assert value_of(document)["state"] == "succeeded"


def value_of(value: Any) -> Any:
    """JSON, in some versions twice."""
    parsed = json.loads(value)
    return json.loads(parsed) if isinstance(parsed, str) else parsed


FORM = """
from oxiflow_airflow_provider.hooks import OxiFlowHook
from oxiflow_airflow_provider.provider_info import FIELDS
form = OxiFlowHook.get_connection_form_widgets()
assert {name: one.args[0] for name, one in form.items()} == {name: one["label"] for name, one in FIELDS.items()}
"""


def look_at_the_form(env: dict[str, str]) -> None:
    """Of a connection; later versions make it of the provider's metadata."""
    program = [sys.executable, "-W", "ignore", "-c", FORM]
    done = subprocess.run(program, env=env, cwd=env["AIRFLOW_HOME"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def parse(env: dict[str, str], home: Path) -> tuple[float, float]:
    for name, imported, task in (
        ("bash", BASH, 'BashOperator(task_id=f"t{i}", bash_command="true")\n        last and last >> task'),
        (
            "oxi",
            "from oxiflow_airflow_provider import OxiFlowOperator",
            'OxiFlowOperator(task_id=f"t{i}", pipeline_name="p", depends_on=[f"t{i - 1}"] if i else [])',
        ),
    ):
        (home / "bags" / name).mkdir(parents=True)
        (home / "bags" / name / "dag.py").write_text(TWO_HUNDRED % (imported, name, task))
    told = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PARSE, str(home / "bags")],
        env=env,
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    bash, oxi = map(float, told.stdout.split()[-2:])
    return bash, oxi


BASH = """
try:
    from airflow.providers.standard.operators.bash import BashOperator
except ImportError:
    from airflow.operators.bash import BashOperator
"""

if __name__ == "__main__":
    try:
        main()
    except AssertionError as error:
        sys.exit(f"on this Airflow: {error}")
