"""What goes wrong with a provider, and what that means for us.

An answer that is no success is read (`body`) and judged: by the code that the provider gave,
by its words where the code says nothing, by the HTTP status where nobody said more (`kinds`).
`params` finds the field for which a request was refused. `connection` judges what never became
an answer, `reasons` how an answer ended.

Providers echo keys and users' texts. Their words go into `ModelError.detail` alone, and there
only without what looks like a key (`words`).
"""

from .answer import from_payload, from_status
from .connection import causes_of, connection_failure
from .failure import failure
from .reasons import BROKEN_REASONS, REASONS, Reason, broken, reason
from .words import unquoted

__all__ = [
    "BROKEN_REASONS",
    "REASONS",
    "Reason",
    "broken",
    "causes_of",
    "connection_failure",
    "failure",
    "from_payload",
    "from_status",
    "reason",
    "unquoted",
]
