"""Questions to the record. All only read; give them a session of `Database.readers`."""

from db.lineage.ancestry import ancestors, descendants
from db.lineage.documents import document_history
from db.lineage.flips import CAUSES, flips
from db.lineage.generations import find_generation
from db.lineage.identify import identify, identify_artifact, identify_checkpoint
from db.lineage.questions import show, why
from db.lineage.standing import status
from db.lineage.taint import taint

__all__ = [
    "CAUSES",
    "ancestors",
    "descendants",
    "document_history",
    "find_generation",
    "flips",
    "identify",
    "identify_artifact",
    "identify_checkpoint",
    "show",
    "status",
    "taint",
    "why",
]
