"""InvitationService on the wire: each method reads a request, runs a use case and answers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Self

from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep.auth.v1 import invitation_service_pb2 as invitation_pb

from services.auth.domain.collaborators import Collaborators
from services.auth.domain.invitations import DAYS, DAYS_MAX, Invitation, Invitations, Invited
from services.auth.domain.ip_limits import IpRateLimiter, client_ip_of
from services.auth.domain.languages import DEFAULT, Language, language_of
from services.auth.domain.registration import REQUIRED, Details
from services.auth.sagas.profiles import RemoteProfiles
from services.auth.servicers.messages import (
    read_email,
    read_registration,
    registered_message,
    require,
)
from services.auth.usecases.accept_invitation import AcceptInvitation
from services.auth.usecases.check_invitation import CheckInvitation
from services.auth.usecases.create_invitation import CreateInvitation
from services.auth.usecases.end_invitation import EndInvitation
from services.auth.usecases.list_invitations import ListInvitations
from services.auth.usecases.register import Registrations
from services.common.parts import ServiceParts
from services.common.vocabulary import Role
from services.kernel.paging import page_size
from services.kernel.rpc.call import Call
from services.kernel.rpc.timestamps import timestamp
from services.kernel.sagas.engine import SagaEngine
from services.kernel.sagas.requests import Requests
from services.kernel.validation import Violations

INVITATIONS = invitation_pb.DESCRIPTOR.services_by_name["InvitationService"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InvitationServicer:
    """Serves InvitationService."""

    limits: IpRateLimiter
    create_invitation: CreateInvitation
    list_invitations: ListInvitations
    end_invitation: EndInvitation
    check_invitation: CheckInvitation
    accept_invitation: AcceptInvitation

    @classmethod
    def of(
        cls,
        parts: ServiceParts,
        shared: Collaborators,
        engine: SagaEngine,
        profiles: RemoteProfiles,
    ) -> Self:
        """Put the use cases of InvitationService together."""
        database, audit = shared.database, shared.audit
        invitations = Invitations(database, audit)
        return cls(
            limits=shared.ip_limits,
            create_invitation=CreateInvitation(database, shared.codes.limits, shared.outbox, audit),
            list_invitations=ListInvitations(database, parts.page_tokens),
            end_invitation=EndInvitation(database, audit),
            check_invitation=CheckInvitation(invitations),
            accept_invitation=AcceptInvitation(
                Requests(database, engine),
                Registrations(database, profiles, audit),
                shared.hasher,
                invitations,
            ),
        )

    async def CreateInvitation(
        self, request: invitation_pb.CreateInvitationRequest, call: Call
    ) -> invitation_pb.Invitation:
        """Invite a person."""
        with Violations() as v:
            role = v.choice(request.role, "role", tuple(REQUIRED), required=True)
            language = v.choice(request.language, "language", tuple(Language))
            invited = Invited(
                email=read_email(v, request.email, "email"),
                role=Role(role or Role.CUSTOMER),
                language=language or language_of(call) or DEFAULT,
            )
            life = _read_life(v, request.days)
        made = await self.create_invitation(
            invited, life=life, caller=call.caller, client_ip=client_ip_of(call)
        )
        return _message(made)

    async def ListInvitations(
        self, request: invitation_pb.ListInvitationsRequest, call: Call
    ) -> invitation_pb.ListInvitationsResponse:
        """List the open invitations."""
        size = page_size(request.page_size)
        found, token = await self.list_invitations(size=size, page_token=request.page_token)
        return invitation_pb.ListInvitationsResponse(
            invitations=map(_message, found), next_page_token=token
        )

    async def EndInvitation(
        self, request: invitation_pb.EndInvitationRequest, call: Call
    ) -> invitation_pb.EndInvitationResponse:
        """End an invitation."""
        with Violations() as v:
            invitation_id = v.uuid(request.invitation_id, "invitation_id")
        await self.end_invitation(invitation_id, caller=call.caller, client_ip=client_ip_of(call))
        return invitation_pb.EndInvitationResponse()

    async def CheckInvitation(
        self, request: invitation_pb.CheckInvitationRequest, call: Call
    ) -> invitation_pb.Invitation:
        """Show the invitation of a token."""
        client_ip = await self.limits.hit(call)
        with Violations() as v:
            require(v, request.token, "token")
        return _message(await self.check_invitation(request.token, client_ip=client_ip))

    async def AcceptInvitation(
        self, request: invitation_pb.AcceptInvitationRequest, call: Call
    ) -> invitation_pb.AcceptInvitationResponse:
        """Accept an invitation."""
        client_ip = await self.limits.hit(call)
        with Violations() as v:
            require(v, request.token, "token")
        made = await self.accept_invitation(
            request.token,
            details_of=partial(_details, request, language_of(call)),
            password=request.password,
            client_ip=client_ip,
        )
        return invitation_pb.AcceptInvitationResponse(
            user=registered_message(made.user), profile=made.profile, brand=made.brand
        )


def _read_life(v: Violations, days: int) -> timedelta:
    if not 0 <= days <= DAYS_MAX:
        v.add("days", f"must be 1 to {DAYS_MAX}, or 0 for {DAYS}")
        return timedelta()
    return timedelta(days=days or DAYS)


def _details(
    request: invitation_pb.AcceptInvitationRequest, language: str | None, invited: Invited
) -> Details:
    """Check the account of an invitation as a registration.

    Raises:
        InvalidField: With every wrong field.
    """
    account = auth_pb.RegisterRequest(email=invited.email.typed, role=invited.role)
    for field, value in request.ListFields():
        if field.name != "token":
            setattr(account, field.name, value)
    details = read_registration(account, is_complete=True, language=language or invited.language)
    return replace(details, email=invited.email)


def _message(invitation: Invitation) -> invitation_pb.Invitation:
    return invitation_pb.Invitation(
        id=str(invitation.id),
        email=invitation.email_display,
        role=invitation.role,
        language=invitation.language,
        create_time=timestamp(invitation.create_time),
        expire_time=timestamp(invitation.expire_time),
    )
