"""A login without an account costs what most logins with one cost, whatever the setting says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import bcrypt
import pytest
from lockstep_clients import Unauthenticated

from services.auth.domain.passwords import Hasher
from services.auth.domain.usual_cost import UsualCost
from services.auth.settings import AuthSettings
from services.auth.store import credentials
from tests.auth.world import PASSWORD, World, opened_database, serving_auth

EMAIL, NOBODY = "ada@example.com", "nobody@example.com"
NEW_COST, OLD_COST = 4, 5
OLD_HASH = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(OLD_COST)).decode()
# Many users, of whom a share has the old hash.
FILL = """
INSERT INTO users (id, email, email_as_typed, password_hash, full_name, role_id, status, saga_id)
SELECT gen_random_uuid(), n || '@example.com', n || '@example.com',
       CASE WHEN n %% 10 < %s THEN %s ELSE %s END, '', (SELECT id FROM roles LIMIT 1), 'ACTIVE',
       gen_random_uuid()
  FROM generate_series(1, %s) AS n
"""


@pytest.fixture
def costs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The costs of all hashings, as they happen."""
    found: list[int] = []
    checkpw, hashpw = bcrypt.checkpw, bcrypt.hashpw

    def counted_check(password: bytes, hashed: bytes) -> bool:
        found.append(int(hashed.split(b"$")[2]))
        return checkpw(password, hashed)

    def counted_hash(password: bytes, salt: bytes) -> bytes:
        found.append(int(salt.split(b"$")[2]))
        return hashpw(password, salt)

    monkeypatch.setattr(bcrypt, "checkpw", counted_check)
    monkeypatch.setattr(bcrypt, "hashpw", counted_hash)
    return found


async def work_of(world: World, email: str, costs: list[int], password: str) -> list[int]:
    costs.clear()
    with pytest.raises(Unauthenticated):
        await world.login(email, password)
    return list(costs)


async def fill(world: World, *, old_of_ten: int, users: int) -> None:
    new_hash = OLD_HASH.replace("$05$", "$04$")
    await world.sql(FILL, old_of_ten, OLD_HASH, new_hash, users)


@pytest.mark.parametrize("password", ["Wrong-horse-7", "x" * 100, "Pa\u0308ssw0rt!"])
async def test_known_and_unknown_addresses_have_equal_work_after_a_change_of_the_cost(
    world: World, make_settings: Callable[..., AuthSettings], costs: list[int], password: str
) -> None:
    await world.register(EMAIL)
    await world.sql("UPDATE users SET password_hash = %s", OLD_HASH)
    async with serving_auth(make_settings(), world.sink) as later:
        async with asyncio.timeout(20):
            while await work_of(later, NOBODY, costs, password) != [OLD_COST] * len(costs):
                await later.sql("DELETE FROM place_failures")
        known = await work_of(later, EMAIL, costs, password)
        await later.sql("DELETE FROM place_failures")
        assert await work_of(later, NOBODY, costs, password) == known


async def test_the_cost_that_most_hashes_have_is_found(world: World) -> None:
    await world.register(EMAIL)
    await fill(world, old_of_ten=6, users=3000)
    async with opened_database(world.url, connections=1) as database:
        assert await credentials.usual_cost(database) == OLD_COST
        await world.sql("ANALYZE users")
        assert await credentials.usual_cost(database) == OLD_COST
        await world.sql("UPDATE users SET password_hash = replace(password_hash, '$05$', '$04$')")
        hasher = Hasher(OLD_COST, threads=1)
        await UsualCost(database, hasher).look()
        assert hasher._nobody.startswith("$2b$04$")
        hasher.close()


async def test_a_sample_is_small_and_what_is_no_hash_does_not_count(world: World) -> None:
    await world.register(EMAIL)
    await fill(world, old_of_ten=3, users=50_000)
    await world.sql("UPDATE users SET password_hash = 'x' WHERE email > '5'")
    await world.sql("VACUUM ANALYZE users")
    explain = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "
    [[[explained]]] = await world.sql(explain + credentials._USUAL_COST.sql.decode())
    plan = explained["Plan"]
    [size] = await world.sql("SELECT pg_relation_size('users') / 8192 AS pages")
    assert 0 < plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < size.pages / 4
    async with opened_database(world.url, connections=1) as database:
        assert await credentials.usual_cost(database) == NEW_COST


async def test_without_users_the_setting_counts(world: World, costs: list[int]) -> None:
    assert await work_of(world, NOBODY, costs, "Wrong-horse-7") == [NEW_COST]
