"""Auth's process: its composition and its place on the network."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from functools import partial

from grpc_health.v1 import health_pb2_grpc
from lockstep.commerce.v1 import event_service_pb2_grpc as commerce_events_grpc
from lockstep.commerce.v1 import order_service_pb2_grpc as order_grpc
from lockstep.profile.v1 import event_service_pb2_grpc as profile_events_grpc
from lockstep.profile.v1 import profile_service_pb2_grpc as profile_grpc

from services.auth import domain, events, sagas, store
from services.auth.composition import AUTH, auth_servicer
from services.auth.readers.event_reader import ListEvents
from services.auth.readers.workers import event_workers
from services.auth.servicers.api_keys import API_KEYS, ApiKeyServicer
from services.auth.servicers.invitations import INVITATIONS, InvitationServicer
from services.auth.servicers.mail import MAIL, MailServicer
from services.auth.servicers.webhooks import WEBHOOKS, WebhookServicer
from services.auth.settings import AuthSettings
from services.auth.store.order_mails import old_marks
from services.common import service
from services.common.keys import SigningKeys
from services.common.parts import Composition, ServiceParts
from services.common.service import Frame, Running
from services.kernel.db.database import Observer
from services.kernel.sagas.servicer import SAGA, SagaServicer


def compose(
    parts: ServiceParts, settings: AuthSettings, *, signing_keys: SigningKeys, hasher: domain.Hasher
) -> Composition:
    """Put Auth together."""
    shared = domain.Collaborators.of(parts, settings, hasher, signing_keys)
    channel, commerce = parts.channel("profile"), parts.channel("commerce")
    profiles = profile_grpc.ProfileServiceStub(channel)
    orders = order_grpc.OrderServiceStub(commerce)
    engine = parts.saga_engine(
        sagas.RegistrationSaga(profiles, issue_code=shared.codes.issue_verification),
        *sagas.profile_status_sagas(profiles),
        sagas.AccountDeletionSaga(orders, profiles, forget_limits=shared.forget_limits),
    )
    remote = sagas.RemoteProfiles(profiles, health_pb2_grpc.HealthStub(channel))
    hasher.measure(parts.meter)
    told = events.servicer(parts.database)
    sources: dict[str, ListEvents] = {
        "auth": told.list_events,
        "profile": profile_events_grpc.EventServiceStub(channel).ListEvents,
        "commerce": commerce_events_grpc.EventServiceStub(commerce).ListEvents,
    }
    mail_server = domain.MailServer(settings.smtp_url, sender=settings.mail_from)
    return Composition(
        servicers={
            AUTH: auth_servicer(parts, shared, engine, remote),
            events.SERVICE: told,
            API_KEYS: ApiKeyServicer.of(shared),
            MAIL: MailServicer.of(parts, shared),
            INVITATIONS: InvitationServicer.of(parts, shared, engine, remote),
            WEBHOOKS: WebhookServicer.of(parts, shared.audit, shared.webhooks),
            SAGA: SagaServicer(parts.database, parts.page_tokens),
        },
        authentication=shared.authentication,
        cleanups=[*store.CLEANUPS, old_marks(settings.events_kept_days + 1)],
        engine=engine,
        workers=[
            *domain.mail_workers(parts.background, shared.outbox, mail_server, parts.meter),
            domain.UsualCost(parts.background, hasher),
            *event_workers(parts, shared, sources, mails_about_orders=settings.order_mails),
        ],
        closing=[hasher.close, shared.webhooks.resolver.close],
    )


def running(
    settings: AuthSettings, *, listen_on: str | None = None, observer: Observer | None = None
) -> AbstractAsyncContextManager[Running]:
    """Run Auth until the context ends; see `common.service.running`."""
    frame = Frame(
        name="auth",
        database_url=settings.auth_database_url,
        port=settings.auth_port,
        targets={"profile": settings.profile_address, "commerce": settings.commerce_address},
        is_coordinator=True,
    )
    domain.adopt(settings.reserved_domains, settings.password_words)
    keys, hasher = SigningKeys.load(settings.keys), domain.Hasher(settings.bcrypt_cost)
    composed = partial(compose, settings=settings, signing_keys=keys, hasher=hasher)
    return service.running(frame, settings, composed, listen_on=listen_on, observer=observer)


def main() -> None:
    """Run the process."""
    service.run("auth", AuthSettings, running)


if __name__ == "__main__":
    main()
