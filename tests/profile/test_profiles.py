"""Profiles as people and administrators see and change them."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from lockstep.profile.v1 import profile_service_pb2 as profile_pb
from lockstep_clients import (
    Aborted,
    AlreadyExists,
    InvalidArgument,
    LockstepError,
    NotFound,
    PermissionDenied,
)

from services.kernel.ids import new_id
from tests.profile.world import World, fails

PHONE = "+4915112345678"
OTHER_PHONE = "+4915187654321"


async def update(
    world: World,
    user_id: UUID,
    *,
    mask: list[str] | None = None,
    metadata: tuple[tuple[str, str]] | None = None,
    **fields: Any,
) -> profile_pb.Profile:
    request = profile_pb.UpdateProfileRequest(
        profile=profile_pb.Profile(**{"user_id": str(user_id), **fields})
    )
    if mask is not None:
        request.update_mask.CopyFrom(FieldMask(paths=mask))
    return await world.profiles.UpdateProfile(request, metadata=metadata or world.as_user(user_id))


async def test_a_profile_is_read_by_its_owner_and_administrators_alone(world: World) -> None:
    user_id = await world.register()
    mine = profile_pb.GetProfileRequest(user_id="me")
    theirs = profile_pb.GetProfileRequest(user_id=str(user_id))
    owner = world.as_user(user_id)
    read = await world.profiles.GetProfile(mine, metadata=owner)
    assert read.user_id == str(user_id)
    assert await world.profiles.GetProfile(theirs, metadata=owner) == read
    assert await world.profiles.GetProfile(theirs, metadata=world.admin) == read
    with fails(PermissionDenied, "FORBIDDEN"):
        await world.profiles.GetProfile(theirs, metadata=world.as_user(new_id()))


async def test_nobody_learns_who_exists(world: World) -> None:
    request = profile_pb.GetProfileRequest(user_id=str(new_id()))
    with fails(PermissionDenied, "FORBIDDEN"):
        await world.profiles.GetProfile(request, metadata=world.as_user(new_id()))


async def test_a_profile_that_is_not_there_is_not_found(world: World) -> None:
    request = profile_pb.GetProfileRequest(user_id="me")
    with fails(NotFound, "PROFILE_NOT_FOUND"):
        await world.profiles.GetProfile(request, metadata=world.as_user(new_id()))
    with fails(NotFound, "PROFILE_NOT_FOUND"):
        await update(world, new_id(), bio="hello", metadata=world.admin)


@pytest.mark.parametrize("text", ["", "you", "123", "{01890a5d-ac96-774b-bcce-b302099a8057}"])
async def test_an_id_has_to_be_an_id(world: World, text: str) -> None:
    with fails(InvalidArgument, "INVALID_FIELD", "user_id"):
        await world.profiles.GetProfile(
            profile_pb.GetProfileRequest(user_id=text), metadata=world.admin
        )
    request = profile_pb.UpdateProfileRequest(profile=profile_pb.Profile(user_id=text))
    with fails(InvalidArgument, "INVALID_FIELD", "profile.user_id"):
        await world.profiles.UpdateProfile(request, metadata=world.admin)


async def test_without_a_mask_the_fields_that_are_set_are_changed(world: World) -> None:
    user_id = await world.register(phone_number=PHONE)
    changed = await update(world, user_id, last_name="Byron", bio="Mathematics\nand more")
    assert changed.first_name == "Ada"
    assert changed.last_name == "Byron"
    assert changed.display_name == "Ada Byron"
    assert changed.bio == "Mathematics\nand more"
    assert changed.phone_number == PHONE
    assert changed == await world.profile(user_id)


async def test_with_a_mask_its_fields_alone_are_changed_or_cleared(world: World) -> None:
    user_id = await world.register(phone_number=PHONE, address="1 Main St")
    changed = await update(
        world,
        user_id,
        mask=["phone_number", "avatar_url", "first_name"],
        avatar_url="https://example.com/ada.png",
        address="not in the mask",
    )
    assert not changed.HasField("phone_number")
    assert changed.avatar_url == "https://example.com/ada.png"
    assert changed.address == "1 Main St"
    assert changed.display_name == "Lovelace"
    assert not await world.phone_exists(PHONE)


async def test_present_but_empty_clears_without_a_mask_too(world: World) -> None:
    user_id = await world.register(phone_number=PHONE)
    assert not (await update(world, user_id, phone_number="")).HasField("phone_number")


async def test_an_empty_mask_changes_nothing(world: World) -> None:
    user_id = await world.register()
    before = await world.profile(user_id)
    request = profile_pb.UpdateProfileRequest(
        profile=profile_pb.Profile(user_id="me", bio="new"), update_mask=FieldMask()
    )
    answer = await world.profiles.UpdateProfile(request, metadata=world.as_user(user_id))
    assert answer == before == await world.profile(user_id)


async def test_the_same_again_changes_nothing(world: World) -> None:
    user_id = await world.register()
    before = await world.profile(user_id)
    assert await update(world, user_id, first_name="Ada") == before


@pytest.mark.parametrize("path", ["status", "display_name", "id", "nonsense"])
async def test_a_mask_with_what_cannot_be_changed_is_refused(world: World, path: str) -> None:
    user_id = await world.register()
    with fails(InvalidArgument, "INVALID_FIELD", "update_mask") as caught:
        await update(world, user_id, mask=["bio", path], bio="new")
    told = caught.value.violations[0].description
    assert repr(path) in told
    assert "first_name, last_name, phone_number, address, bio, avatar_url, course" in told
    assert not (await world.profile(user_id)).HasField("bio")


async def test_a_mask_may_name_which_resource_is_meant(world: World) -> None:
    """The gateway infers a mask from the body, so a REST client's etag is in it."""
    user_id = await world.register()
    changed = await update(world, user_id, mask=["user_id", "etag", "bio"], bio="new", etag="1")
    assert changed.bio == "new"


async def test_output_only_fields_are_left_alone(world: World) -> None:
    """AIP-203: a client may send back the whole resource that it has read."""
    user_id = await world.register()
    read = await world.profile(user_id)
    read.status = "active"
    read.bio = "new"
    request = profile_pb.UpdateProfileRequest(profile=read)
    changed = await world.profiles.UpdateProfile(request, metadata=world.as_user(user_id))
    assert (changed.status, changed.bio) == ("pending", "new")


async def test_every_wrong_field_of_an_update_is_named(world: World) -> None:
    user_id = await world.register()
    with fails(
        InvalidArgument,
        "INVALID_FIELD",
        "profile.first_name",
        "profile.phone_number",
        "profile.address",
        "profile.bio",
        "profile.avatar_url",
        "profile.course",
    ):
        await update(
            world,
            user_id,
            first_name="x" * 101,
            phone_number="１２３４５６７８９０",  # noqa: RUF001 - digits, but not ASCII
            address="x" * 301,
            bio="x" * 2001,
            avatar_url="javascript:alert(1)",
            course="\x01",
        )


async def test_the_longest_values_fit(world: World) -> None:
    user_id = await world.register()
    changed = await update(
        world,
        user_id,
        first_name="x" * 100,
        phone_number="1" * 15,
        address="x" * 300,
        bio="x" * 2000,
        avatar_url="https://example.com/" + "x" * 2028,
    )
    assert changed.phone_number == "+" + "1" * 15
    assert len(changed.avatar_url) == 2048


async def test_only_the_owner_and_administrators_may_change_a_profile(world: World) -> None:
    user_id = await world.register()
    with fails(PermissionDenied, "FORBIDDEN"):
        await update(world, user_id, bio="mine", metadata=world.as_user(new_id()))
    assert (await update(world, user_id, bio="checked", metadata=world.admin)).bio == "checked"


async def test_a_stale_etag_changes_nothing(world: World) -> None:
    user_id = await world.register()
    read = await world.profile(user_id)
    changed = await update(world, user_id, bio="first", etag=read.etag)
    assert changed.etag != read.etag
    with fails(Aborted, "ETAG_MISMATCH"):
        await update(world, user_id, bio="second", etag=read.etag)
    assert (await world.profile(user_id)).bio == "first"


async def test_of_updates_with_one_etag_one_wins(world: World) -> None:
    user_id = await world.register()
    etag = (await world.profile(user_id)).etag

    async def change(number: int) -> bool:
        try:
            await update(world, user_id, bio=str(number), etag=etag)
        except Aborted:
            return False
        return True

    assert sum(await asyncio.gather(*map(change, range(12)))) == 1


async def test_updates_of_different_fields_all_stay(world: World) -> None:
    user_id = await world.register()
    await asyncio.gather(
        update(world, user_id, bio="bio"),
        update(world, user_id, address="address"),
        update(world, user_id, course="course"),
        update(world, user_id, first_name="Augusta"),
    )
    profile = await world.profile(user_id)
    assert (profile.bio, profile.address, profile.course) == ("bio", "address", "course")
    assert profile.display_name == "Augusta Lovelace"


async def test_a_phone_of_somebody_else_is_taken(world: World) -> None:
    await world.register(phone_number=PHONE)
    user_id = await world.register(phone_number=OTHER_PHONE)
    with fails(AlreadyExists, "PHONE_TAKEN"):
        await update(world, user_id, bio="new", phone_number="+49 151 12345678")
    profile = await world.profile(user_id)
    assert profile.phone_number == OTHER_PHONE
    assert not profile.HasField("bio")


async def test_of_many_who_change_to_one_phone_one_gets_it(world: World) -> None:
    users = await asyncio.gather(*(world.register() for _ in range(8)))

    async def change(user_id: UUID) -> str:
        try:
            return (await update(world, user_id, phone_number=PHONE)).phone_number
        except AlreadyExists as error:
            return error.reason

    answers = await asyncio.gather(*map(change, users))
    assert sorted(answers) == [PHONE] + ["PHONE_TAKEN"] * 7


async def test_two_who_swap_phones_end_with_an_answer(world: World) -> None:
    """Each waits for the other. PostgreSQL ends one wait, and the repeated update is refused."""
    one = await world.register(phone_number=PHONE)
    two = await world.register(phone_number=OTHER_PHONE)
    answers = await asyncio.gather(
        update(world, one, phone_number=OTHER_PHONE),
        update(world, two, phone_number=PHONE),
        return_exceptions=True,
    )
    reasons = {answer.reason for answer in answers if isinstance(answer, LockstepError)}
    assert reasons <= {"PHONE_TAKEN"}
    numbers = [(await world.profile(user_id)).phone_number for user_id in (one, two)]
    assert len(set(numbers)) == 2


async def test_an_older_display_name_stays_until_a_name_is_given(world: World) -> None:
    user_id = await world.register(first_name="", last_name="")
    world.execute("UPDATE profiles SET display_name = 'Countess'")
    assert (await update(world, user_id, bio="new")).display_name == "Countess"
    assert (await update(world, user_id, first_name="Ada")).display_name == "Ada"


async def test_a_phone_number_is_found_however_it_is_written(world: World) -> None:
    await world.register(phone_number=PHONE)
    assert await world.phone_exists("49 (151) 123-45678")
    assert not await world.phone_exists("+1234567890")


@pytest.mark.parametrize("number", ["", "123", "+", "12345678901234567", "call me"])
async def test_what_is_no_phone_number_is_refused(world: World, number: str) -> None:
    with fails(InvalidArgument, "INVALID_FIELD", "phone_number"):
        await world.phone_exists(number)


async def list_page(world: World, **fields: Any) -> profile_pb.ListProfilesResponse:
    request = profile_pb.ListProfilesRequest(**fields)
    return await world.profiles.ListProfiles(request, metadata=world.admin)


async def test_profiles_are_listed_newest_first_in_pages(world: World) -> None:
    users = [str(await world.register()) for _ in range(5)]
    seen: list[str] = []
    token = ""
    while True:
        page = await list_page(world, page_size=2, page_token=token)
        seen += [profile.user_id for profile in page.profiles]
        token = page.next_page_token
        if not token:
            break
    assert seen == users[::-1]


async def test_a_page_that_is_just_full_is_the_last(world: World) -> None:
    for _ in range(2):
        await world.register()
    assert (await list_page(world, page_size=2)).next_page_token == ""


async def test_profiles_are_listed_by_status_with_their_brands(world: World) -> None:
    await world.register()
    active = await world.register(
        initial_status="active", role="brand", company="Acme", company_size="1000+", user_role="ceo"
    )
    found = (await list_page(world, status="active")).profiles
    assert [profile.user_id for profile in found] == [str(active)]
    assert found[0].brand.name == "Acme"


async def test_a_page_of_zero_is_20_and_of_many_is_100(world: World) -> None:
    world.execute(
        "INSERT INTO profiles (id, user_id)"
        " SELECT gen_random_uuid(), gen_random_uuid() FROM generate_series(1, 101)"
    )
    assert len((await list_page(world)).profiles) == 20
    assert len((await list_page(world, page_size=1000)).profiles) == 100


async def test_wrong_pages_and_filters_are_refused(world: World) -> None:
    for _ in range(2):
        await world.register()
    token = (await list_page(world, page_size=1)).next_page_token
    with fails(InvalidArgument, "INVALID_FIELD", "page_size"):
        await list_page(world, page_size=-1)
    with fails(InvalidArgument, "INVALID_FIELD", "page_token"):
        await list_page(world, page_token="made up")
    with fails(InvalidArgument, "INVALID_FIELD", "page_token"):
        await list_page(world, page_token=token, status="pending")
    with fails(InvalidArgument, "INVALID_FIELD", "status") as caught:
        await list_page(world, status="happy")
    assert "pending, active, suspended" in caught.value.violations[0].description


async def set_status(world: World, user_id: UUID, status: str, version: int) -> None:
    await world.by_auth.SetProfileStatus(
        profile_pb.SetProfileStatusRequest(
            user_id=str(user_id), status=status, status_version=version
        )
    )


async def test_a_status_applies_only_if_its_version_is_greater(world: World) -> None:
    user_id = await world.register()
    etag = (await world.profile(user_id)).etag
    await set_status(world, user_id, "active", 2)
    changed = await world.profile(user_id)
    assert changed.status == "active"
    assert changed.etag != etag
    await set_status(world, user_id, "suspended", 1)
    await set_status(world, user_id, "suspended", 2)
    assert await world.profile(user_id) == changed


async def test_statuses_in_any_order_end_with_the_newest(world: World) -> None:
    user_id = await world.register()
    statuses = ("active", "suspended")
    await asyncio.gather(
        *(set_status(world, user_id, statuses[number % 2], number) for number in range(1, 21))
    )
    assert (await world.profile(user_id)).status == statuses[0]


async def test_a_status_of_nobody_is_not_found(world: World) -> None:
    with fails(NotFound, "PROFILE_NOT_FOUND"):
        await set_status(world, new_id(), "active", 1)


async def test_a_wrong_status_is_refused_with_the_ones_there_are(world: World) -> None:
    request = profile_pb.SetProfileStatusRequest(user_id="x", status="happy")
    with fails(InvalidArgument, "INVALID_FIELD", "user_id", "status", "status_version") as caught:
        await world.by_auth.SetProfileStatus(request)
    assert "pending, active, suspended" in caught.value.violations[1].description


async def test_a_page_of_large_profiles_ends_earlier_and_no_profile_is_left_out(
    world: World,
) -> None:
    world.execute(
        "WITH made AS (INSERT INTO profiles (id, user_id, bio)"
        " SELECT gen_random_uuid(), gen_random_uuid(), repeat('\U0001f600', 2000)"
        " FROM generate_series(1, 100) RETURNING id)"
        " INSERT INTO brands (id, profile_id, name, description, website_url)"
        " SELECT gen_random_uuid(), id, 'x', repeat('\U0001f600', 5000), repeat('\U0001f600', 2048)"
        " FROM made"
    )
    sizes: list[int] = []
    seen: set[str] = set()
    token = ""
    while True:
        page = await list_page(world, page_size=100, page_token=token)
        sizes.append(page.ByteSize())
        seen |= {profile.user_id for profile in page.profiles}
        token = page.next_page_token
        if not token:
            break
    assert len(sizes) == 2
    assert max(sizes) < 4 * 1024 * 1024
    assert len(seen) == 100
