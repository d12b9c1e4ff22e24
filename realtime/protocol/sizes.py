"""How large what goes over the wire may be."""

from __future__ import annotations

MAX_EVENT_BYTES = 96 * 1024
"""No event is larger on the wire."""

MAX_ARGUMENTS = 24 * 1024
"""Of a tool call as JSON, those that a person replaced included: with the longest output still
below an event's bound."""

MAX_DEPTH = 128
"""Levels of JSON that a client or a model may nest. `clean` and what is behind it call themselves
for each of them."""

MAX_DIGITS = 100
"""Characters of an integer. The Socket.IO client for Python loses an event with a longer one."""

MAX_PAGE_BYTES = 110 * 1024
"""Bound of the events in one `session` payload or `history` ack, which stays below 128 KB, its
siblings aside."""

MAX_SIBLINGS = 50
"""Messages in one list of siblings."""

MAX_PAGE_SIBLINGS = 400
"""Messages in all such lists of a page, if these are not very many: each has at least
`MIN_SIBLINGS`."""

MIN_SIBLINGS = 3
"""The message, and the ones before and behind it."""

MAX_QUEUED_TEXT = 500
"""Characters of a waiting message in `session.queue`; its event has all of it."""

MAX_DONE_TEXT = 64 * 1024
"""An answer that is longer as JSON is left out of `done.text`; the tokens hold it."""

MAX_DONE = 88 * 1024
"""Of `done.text` and `done.value` together as JSON; with the rest still below an event's bound."""
