"""What OpenLineage has no facet for: costs, recipes, and the command and code of a process."""

from __future__ import annotations

from typing import Any

import attr
from openlineage.client.facet_v2 import RunFacet

from db.models import Stage


@attr.define
class CostRunFacet(RunFacet):
    """What a stage worked on and took; counts of documents, calls and tokens, and seconds."""

    documents: int | None = None
    modelCalls: int | None = None
    promptTokens: int | None = None
    cachedTokens: int | None = None
    outputTokens: int | None = None
    errors: int | None = None
    seconds: float | None = None

    @staticmethod
    def _get_schema() -> str:
        return "urn:palimpsest:openlineage:CostRunFacet:1"


@attr.define
class RecipeRunFacet(RunFacet):
    """What decided a stage's result; equal recipes promise equal bytes."""

    recipeId: str
    algorithmVersion: str
    recipe: dict[str, Any]

    @staticmethod
    def _get_schema() -> str:
        return "urn:palimpsest:openlineage:RecipeRunFacet:1"


@attr.define
class ProvenanceRunFacet(RunFacet):
    """The command, the code and the software of a process."""

    command: str
    versions: dict[str, str]
    commit: str | None = None
    dirty: bool | None = None

    @staticmethod
    def _get_schema() -> str:
        return "urn:palimpsest:openlineage:ProvenanceRunFacet:1"


def cost_facet(stage: Stage) -> CostRunFacet:
    """The costs that are recorded of a stage."""
    return CostRunFacet(
        documents=stage.documents,
        modelCalls=stage.model_calls,
        promptTokens=stage.prompt_tokens,
        cachedTokens=stage.cached_tokens,
        outputTokens=stage.output_tokens,
        errors=stage.errors,
        seconds=stage.seconds,
    )
