"""AuditService: the audit log of a service, for administrators and operators."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final

from lockstep.audit.v1 import audit_pb2 as audit_pb

from services.kernel.audit.store import AuditEntry, EntryFilters, list_entries
from services.kernel.db.database import Database
from services.kernel.paging import PageRows, PageTokens, listing_of, page_size
from services.kernel.rpc.call import Call
from services.kernel.rpc.timestamps import read_optional_moment, timestamp
from services.kernel.validation import Violations

WORD_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class AuditServicer:
    """Serves the audit log of one service."""

    database: Database
    tokens: PageTokens

    async def ListAuditEvents(
        self, request: audit_pb.ListAuditEventsRequest, call: Call
    ) -> audit_pb.ListAuditEventsResponse:
        """List lines, newest first."""
        with Violations() as v:
            filters = _filters(v, request)
            limit = page_size(request.page_size)
        page = await self._page(filters, request.page_token, limit)
        events, token = page.written(_message)
        return audit_pb.ListAuditEventsResponse(audit_events=events, next_page_token=token)

    async def _page(self, filters: EntryFilters, token: str, limit: int) -> PageRows[AuditEntry]:
        listing = listing_of("audit events", **asdict(filters))

        def token_after(entry: AuditEntry) -> str:
            return self.tokens.after(entry.create_time, entry.id, listing=listing)

        before = self.tokens.newest_first(token, listing=listing)
        found = await list_entries(self.database, filters, before=before, limit=limit + 1)
        return PageRows(found, limit, token_after)


def _filters(v: Violations, request: audit_pb.ListAuditEventsRequest) -> EntryFilters:
    return EntryFilters(
        event=v.text(request.event, "event", max_length=WORD_MAX),
        user_id=v.uuid(request.user_id, "user_id") if request.user_id else None,
        actor=v.text(request.actor, "actor", max_length=WORD_MAX),
        since=read_optional_moment(v, request, "since"),
    )


def _message(entry: AuditEntry) -> audit_pb.AuditEvent:
    return audit_pb.AuditEvent(
        id=str(entry.id),
        event=entry.event,
        user_id=str(entry.user_id or ""),
        account=entry.account or "",
        actor=entry.actor or "",
        client_ip=entry.client_ip or "",
        facts=[
            audit_pb.AuditFact(name=name, value=str(value)) for name, value in entry.detail.items()
        ],
        create_time=timestamp(entry.create_time),
    )
