"""A request that comes when its account was just deleted writes nothing of the account down."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from services.auth.domain.audit import Audit
from services.auth.domain.login_throttle import LoginThrottle
from services.auth.domain.outbox import Outbox
from services.auth.domain.places import Places
from services.auth.domain.webhook_secrets import WebhookSecrets
from services.auth.model import CanonicalEmail
from services.auth.usecases.create_webhook import CreateWebhook
from services.auth.usecases.end_invitation import EndInvitation
from services.auth.usecases.logout import Logout
from services.auth.usecases.retry_waiting_mail import RetryWaitingMail
from services.kernel.db.database import Database
from services.kernel.errors import SessionEnded
from services.kernel.ids import new_id
from services.kernel.rpc.call import UserPrincipal
from services.kernel.secret import Secret
from tests.auth.world import World

IP = "192.0.2.1"
SECRET = Secret.of(b"s" * 32)
EMAIL = CanonicalEmail("ada@example.com")


async def _create_webhook(database: Database, **who: Any) -> object:
    create = CreateWebhook(database, Audit(SECRET), WebhookSecrets(SECRET))
    url = "https://example.com/"
    return await create(url=url, description="", types=[], disabled=False, **who)


async def _end_invitation(database: Database, **who: Any) -> None:
    await EndInvitation(database, Audit(SECRET))(new_id(), **who)


async def _retry_waiting_mail(database: Database, **who: Any) -> object:
    return await RetryWaitingMail(database, Audit(SECRET))(**who)


@pytest.fixture
async def user_id(world: World) -> UUID:
    """Return the id of a user whose account was deleted."""
    user_id = UUID((await world.register(EMAIL)).user.id)
    await world.sql("DELETE FROM users WHERE id = %s", user_id)
    await world.sql("ALTER TABLE audit_log DISABLE TRIGGER USER")
    await world.sql("DELETE FROM audit_log")
    await world.sql("ALTER TABLE audit_log ENABLE TRIGGER USER")
    return user_id


@pytest.mark.parametrize("all_sessions", [False, True])
async def test_a_logout(world: World, user_id: UUID, all_sessions: bool) -> None:
    logout = Logout(world.running.database, Audit(Secret.of(b"secret")))
    caller = UserPrincipal(id=user_id, session_id=new_id(), role="student")
    await logout(caller=caller, all_sessions=all_sessions, client_ip=IP)
    assert await world.sql("SELECT id FROM audit_log") == []


async def test_a_wrong_password(world: World, user_id: UUID) -> None:
    throttle = LoginThrottle(world.running.database, Places(SECRET), Outbox(SECRET), Audit(SECRET))
    await throttle.fail(EMAIL, user_id=user_id, client_ip=IP)
    assert [row.user_id for row in await world.sql("SELECT user_id FROM audit_log")] == [None]


@pytest.mark.parametrize("change", [_create_webhook, _end_invitation, _retry_waiting_mail])
async def test_a_change_by_an_administrator(
    world: World, user_id: UUID, change: Callable[..., Awaitable[object]]
) -> None:
    caller = UserPrincipal(id=user_id, session_id=new_id(), role="admin")
    with pytest.raises(SessionEnded):
        await change(world.running.database, caller=caller, client_ip=IP)
    assert await world.sql("SELECT id FROM audit_log") == []
