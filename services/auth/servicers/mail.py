"""MailService on the wire: each method reads a request, runs a use case and answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from lockstep.auth.v1 import mail_service_pb2 as mail_pb

from services.auth.domain.collaborators import Collaborators
from services.auth.domain.ip_limits import client_ip_of
from services.auth.servicers.access_messages import mail_message
from services.auth.usecases.list_waiting_mail import ListWaitingMail
from services.auth.usecases.retry_waiting_mail import RetryWaitingMail
from services.common.parts import ServiceParts
from services.kernel.paging import page_size
from services.kernel.rpc.call import Call

MAIL = mail_pb.DESCRIPTOR.services_by_name["MailService"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MailServicer:
    """Serves MailService."""

    list_waiting_mail: ListWaitingMail
    retry_waiting_mail: RetryWaitingMail

    @classmethod
    def of(cls, parts: ServiceParts, shared: Collaborators) -> Self:
        """Put the use cases of MailService together."""
        return cls(
            list_waiting_mail=ListWaitingMail(shared.database, parts.page_tokens),
            retry_waiting_mail=RetryWaitingMail(shared.database, shared.audit),
        )

    async def ListWaitingMail(
        self, request: mail_pb.ListWaitingMailRequest, call: Call
    ) -> mail_pb.ListWaitingMailResponse:
        """List the mail that waits."""
        size = page_size(request.page_size)
        found, token = await self.list_waiting_mail(size=size, page_token=request.page_token)
        return mail_pb.ListWaitingMailResponse(
            mails=map(mail_message, found), next_page_token=token
        )

    async def RetryWaitingMail(
        self, request: mail_pb.RetryWaitingMailRequest, call: Call
    ) -> mail_pb.RetryWaitingMailResponse:
        """Make postponed mail due now."""
        due = await self.retry_waiting_mail(caller=call.caller, client_ip=client_ip_of(call))
        return mail_pb.RetryWaitingMailResponse(mails=due)
