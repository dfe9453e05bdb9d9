"""The filters of ListUsers."""

from __future__ import annotations

from typing import Final

from lockstep.auth.v1 import auth_service_pb2 as auth_pb

from services.auth.domain.emails import EMAIL_MAX, parse_email
from services.auth.model import Status
from services.auth.store.user_lists import UserFilters
from services.common.vocabulary import Role
from services.kernel.rpc.timestamps import read_optional_moment
from services.kernel.validation import Violations

# Nobody sees PENDING users.
STATUSES: Final = tuple(each.lower() for each in Status if each is not Status.PENDING)


def read_user_filters(v: Violations, request: auth_pb.ListUsersRequest) -> UserFilters:
    """Read which users to list."""
    role = v.choice(request.role, "role", tuple(Role))
    status = v.choice(request.status, "status", STATUSES)
    earliest = read_optional_moment(v, request, "create_time_from")
    end = read_optional_moment(v, request, "create_time_until")
    if earliest is not None and end is not None and earliest > end:
        v.add("create_time_from", "must not be after create_time_until")
    return UserFilters(
        email_prefix=_email_prefix(v, request.email_prefix, "email_prefix"),
        role=None if role is None else Role(role),
        status=None if status is None else Status(status.upper()),
        create_time_from=earliest,
        create_time_until=end,
    )


def _email_prefix(v: Violations, text: str, field: str) -> str | None:
    """Read the beginning of an e-mail, and return its canonical form."""
    prefix = v.text(text, field, max_length=EMAIL_MAX)
    if not prefix:
        return None
    if (whole := parse_email(prefix)) is not None:
        return whole.canonical
    if not prefix.isascii():
        v.add(field, "must be in ASCII, or a complete e-mail address")
    return prefix.lower()
