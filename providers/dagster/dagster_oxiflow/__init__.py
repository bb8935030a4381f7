"""
Oxide Flow's pipelines as assets of Dagster:

    import dagster as dg
    from dagster_oxiflow import OxiFlowResource, oxiflow_assets

    @oxiflow_assets(project="shop")
    def shop(context: dg.AssetExecutionContext, oxiflow: OxiFlowResource):
        yield from oxiflow.run(context=context).stream()

    defs = dg.Definitions(assets=[shop], resources={"oxiflow": OxiFlowResource(project="shop")})

Importing it, and loading definitions, starts no process.
"""

from .assets import build_oxiflow_assets, oxiflow_assets
from .checks import Check
from .component import OxiFlowConfig, OxiFlowProjectComponent
from .manifest import Manifest, Output, Pipeline, load_manifest
from .pipes_client import OxiFlowPipesClient
from .resource import OxiFlowInvocation, OxiFlowResource
from .translator import OxiFlowTranslator

__version__ = "0.1.0"

__all__ = [
    "Check",
    "Manifest",
    "Output",
    "OxiFlowConfig",
    "OxiFlowInvocation",
    "OxiFlowPipesClient",
    "OxiFlowProjectComponent",
    "OxiFlowResource",
    "OxiFlowTranslator",
    "Pipeline",
    "build_oxiflow_assets",
    "load_manifest",
    "oxiflow_assets",
]
