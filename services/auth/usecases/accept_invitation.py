"""Accept an invitation: register its account."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from services.auth.domain.invitations import Invitations, Invited
from services.auth.domain.passwords import Hasher
from services.auth.domain.registration import Details
from services.auth.errors import InvitationNotFound
from services.auth.sagas.registration import REGISTRATION, Registered, RegistrationPayload
from services.auth.usecases.register import Registrations
from services.auth.usecases.verify_otp import MailedCode
from services.kernel.sagas.model import NewSaga
from services.kernel.sagas.requests import Requests


@dataclass(frozen=True, slots=True)
class AcceptInvitation:
    """Registers people who were invited, through the saga of every registration."""

    requests: Requests
    registrations: Registrations
    hasher: Hasher
    invitations: Invitations

    async def __call__(
        self,
        token: str,
        *,
        details_of: Callable[[Invited], Details],
        password: str,
        client_ip: str | None,
    ) -> Registered:
        """Register, and return the new user, profile and brand.

        The same token gets the same answer for ten minutes.

        Args:
            token: Of the invitation.
            details_of: Checks the form of the account: its role is the invitation's.
            password: Of the account.
            client_ip: The caller's.

        Raises:
            InvitationNotFound: There is no such invitation, or it has ended.
            InvalidField: See `details_of`.
            EmailTaken, PhoneTaken, RegistrationInProgress: Nothing was written.
            RegistrationUnavailable: Nothing will be; the token works again.
            DeadlineExceeded: The outcome is not known yet; a repeat with the token gets it.
        """
        opened = await self.invitations.take(token, client_ip=client_ip)

        async def prepare() -> NewSaga[RegistrationPayload, Registered]:
            if opened.invited is None:
                raise InvitationNotFound  # it was accepted, and its account is gone
            details = details_of(opened.invited)
            await self.registrations.ensure_possible(details)
            return await self.registrations.new(
                details,
                password_hash=await self.hasher.hash(password),
                is_verified=True,
                client_ip=client_ip,
            )

        code = MailedCode(opened.id, lost=InvitationNotFound)
        return await self.requests.run_once(REGISTRATION, code, prepare)
