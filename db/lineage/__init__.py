"""Questions to the record. All only read; give them a session of `Database.readers`."""

from db.lineage.ancestry import ancestors, descendants
from db.lineage.documents import document_history
from db.lineage.identify import identify, identify_artifact, identify_checkpoint
from db.lineage.questions import show, why
from db.lineage.standing import status

__all__ = [
    "ancestors",
    "descendants",
    "document_history",
    "identify",
    "identify_artifact",
    "identify_checkpoint",
    "show",
    "status",
    "why",
]
