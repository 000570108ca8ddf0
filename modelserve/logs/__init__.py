"""The log: configured once, one line for each record, whatever a client or a model put into it.

    logger.info("is ready", extra={"deployment": "digits"})
    ->  2026-01-01T00:00:00.000Z INFO modelserve.server is ready deployment=digits

form.py says how a record reads, writing.py writes it to standard error, backlog.py so that nobody waits for a reader,
passing.py takes it from a worker to the server, kept.py keeps what concerns each deployment, and flow.py bounds how
much there is of all this.
"""

from __future__ import annotations

from modelserve.logs.writing import ACCESS, aside, borrowed, bounds, configure, lost_records, say

__all__ = ["ACCESS", "aside", "borrowed", "bounds", "configure", "lost_records", "say"]
