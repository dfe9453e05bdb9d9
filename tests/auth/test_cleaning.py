"""The cleaner removes old rows, and no others."""

from __future__ import annotations

from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep_clients import LockstepError

from services.kernel.db.cleaner import Cleaner
from tests.auth.world import PASSWORD, World

EMAIL = "ada@example.com"
MOMENTS = {
    "sessions": "expire_time",
    "login_failures": "update_time",
    "known_places": "seen_time",
    "place_failures": "update_time",
    "account_failures": "begin_time",
    "codes": "expire_time",
    "code_limits": "update_time",
    "audit_log": "create_time",
    "sagas": "update_time",
    "idempotency": "expire_time",
}


async def numbers(world: World) -> dict[str, int]:
    return {
        table: (await world.sql(f"SELECT count(*) AS number FROM {table}"))[0].number
        for table in MOMENTS
    }


async def test_what_is_old_goes_and_what_is_new_stays(world: World) -> None:
    request = auth_pb.RegisterRequest(
        email=EMAIL, password=PASSWORD, full_name="Ada Lovelace", course="Analysis"
    )
    await world.auth.Register(request, metadata=(("idempotency-key", "one"),))
    await world.login(EMAIL)
    await world.sql(  # as processes of before places do
        "INSERT INTO login_failures VALUES ('\\x00', 1, clock_timestamp(), clock_timestamp())"
    )
    try:
        await world.login("nobody@example.com")
    except LockstepError:
        before = await numbers(world)
    assert min(before.values()) >= 1
    cleaner = Cleaner(world.running.database, world.running.composition.cleanups)
    assert await cleaner.sweep() == 0
    assert await numbers(world) == before
    for table, moment in MOMENTS.items():
        await world.sql(
            f"ALTER TABLE {table} DISABLE TRIGGER USER;"
            f"UPDATE {table} SET {moment} = {moment} - interval '2 years';"
            f"ALTER TABLE {table} ENABLE TRIGGER USER"
        )
    assert await cleaner.sweep() == sum(before.values())
    assert set((await numbers(world)).values()) == {0}


async def test_the_code_of_a_registration_that_is_being_undone_stays(world: World) -> None:
    await world.auth.SendOtp(auth_pb.SendOtpRequest(email=EMAIL, password=PASSWORD))
    await world.sql(
        "UPDATE codes SET expire_time = now() - interval '2 years', saga_id = id, "
        "spend_time = now()"
    )
    cleaner = Cleaner(world.running.database, world.running.composition.cleanups)
    assert await cleaner.sweep() == 0
    await world.sql("UPDATE codes SET payload = NULL")
    assert await cleaner.sweep() == 1
