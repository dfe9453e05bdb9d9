"""Profile tells what has changed and which money has moved."""

from __future__ import annotations

from google.protobuf.field_mask_pb2 import FieldMask
from lockstep.profile.v1 import profile_service_pb2 as profile_pb

from services.kernel.ids import new_id
from tests.profile.world import World
from tests.told import Told, told


async def test_a_change_of_a_profile_is_told_by_the_names_of_its_fields(world: World) -> None:
    user_id = await world.register()
    profile = await world.profile(user_id)
    request = profile_pb.UpdateProfileRequest(
        profile=profile_pb.Profile(user_id="me", bio="I am Ada", course="Analysis"),
        update_mask=FieldMask(paths=["bio", "course"]),
    )
    for _ in range(2):  # the second changes nothing
        await world.profiles.UpdateProfile(request, metadata=world.as_user(user_id))
    facts = {
        "profile_id": profile.id,
        "user_id": str(user_id),
        "changed_fields": ["bio", "course"],
    }
    assert told(world.url, "profile") == [Told("ProfileChanged", f"users/{user_id}", facts)]


async def test_a_change_of_a_brand_is_told(world: World) -> None:
    user_id = await world.register(
        role="brand", company="Acme", company_size="1-10", user_role="owner"
    )
    brand = (await world.profile(user_id)).brand
    request = profile_pb.UpdateBrandRequest(brand=profile_pb.Brand(id=brand.id, name="Better"))
    for _ in range(2):
        await world.profiles.UpdateBrand(request, metadata=world.as_user(user_id))
    facts = {"brand_id": brand.id, "changed_fields": ["name"]}
    assert told(world.url, "profile") == [Told("BrandChanged", f"brands/{brand.id}", facts)]


async def test_every_posted_transfer_is_told_and_no_refused_one(world: World) -> None:
    user_id = await world.user_with(100)
    debit, voided = new_id(), new_id()
    await world.debit(user_id, 60, transfer_id=debit)
    await world.debit(user_id, 60)  # too much
    await world.refund(debit, 10)
    await world.debit(user_id, 20, transfer_id=voided)
    for _ in range(2):
        await world.void(voided)
    await world.forget(user_id)
    events = told(world.url, "profile")
    assert {event.name for event in events} == {"TransferPosted"}
    assert len({event.subject for event in events}) == 1
    assert [(event.facts["kind"], event.facts["amount"]) for event in events] == [
        ("top_up", 100),
        ("debit", 60),
        ("refund", 10),
        ("debit", 20),
        ("void", 20),
        ("forfeit", 50),
    ]
    assert [event.facts.get("original_id") for event in events] == [
        None,
        None,
        str(debit),
        None,
        str(voided),
        None,
    ]
