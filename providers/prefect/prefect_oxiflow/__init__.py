"""
Prefect runs Oxide Flow's pipelines:

    from prefect import flow
    from prefect_oxiflow import run_pipeline

    @flow
    def nightly():
        summary = run_pipeline("orders", project_dir="shop")
        print(summary["rows"])

Importing it starts no process and reads no file.
"""

from .blocks import OxiFlowProject, OxiFlowStateBackend
from .flows import oxiflow_flow
from .tasks import arun_pipeline, run_pipeline

__version__ = "0.1.0"

__all__ = [
    "OxiFlowProject",
    "OxiFlowStateBackend",
    "arun_pipeline",
    "oxiflow_flow",
    "run_pipeline",
]
