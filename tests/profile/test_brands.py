"""Brands: everybody sees them, and their owners change them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from lockstep.profile.v1 import profile_service_pb2 as profile_pb
from lockstep_clients import InvalidArgument, NotFound, PermissionDenied

from services.kernel.ids import new_id
from tests.profile.world import World, fails


async def register(world: World) -> tuple[UUID, profile_pb.Brand]:
    user_id = await world.register(
        role="brand", company="Acme", company_size="11-50", user_role="marketing-manager"
    )
    return user_id, (await world.profile(user_id)).brand


async def update(
    world: World, user_id: UUID, *, mask: list[str] | None = None, **fields: Any
) -> profile_pb.Brand:
    request = profile_pb.UpdateBrandRequest(brand=profile_pb.Brand(**fields))
    if mask is not None:
        request.update_mask.CopyFrom(FieldMask(paths=mask))
    return await world.profiles.UpdateBrand(request, metadata=world.as_user(user_id))


async def test_anybody_may_see_a_brand(world: World) -> None:
    _, brand = await register(world)
    assert await world.profiles.GetBrand(profile_pb.GetBrandRequest(brand_id=brand.id)) == brand


async def test_its_owner_changes_a_brand(world: World) -> None:
    user_id, brand = await register(world)
    changed = await update(
        world,
        user_id,
        id=brand.id,
        description="Anvils\nand more",
        website_url="https://acme.example",
        logo_url="http://acme.example/logo.png",
        brand_type="direct",
        company_size="1000+",
    )
    assert (changed.name, changed.user_role) == ("Acme", "marketing-manager")
    assert changed.description == "Anvils\nand more"
    assert changed.brand_type == "direct"
    assert changed.company_size == "1000+"
    assert changed == (await world.profile(user_id)).brand


async def test_masked_fields_are_cleared_and_others_stay(world: World) -> None:
    user_id, brand = await register(world)
    await update(world, user_id, id=brand.id, description="old", brand_type="agency")
    changed = await update(world, user_id, mask=["brand_type", "name"], id=brand.id, name="New")
    assert not changed.HasField("brand_type")
    assert (changed.name, changed.description) == ("New", "old")


async def test_an_empty_mask_changes_nothing(world: World) -> None:
    user_id, brand = await register(world)
    assert await update(world, user_id, mask=[], id=brand.id, name="New") == brand


async def test_nobody_else_changes_a_brand(world: World) -> None:
    _, brand = await register(world)
    with fails(PermissionDenied, "FORBIDDEN"):
        await update(world, new_id(), id=brand.id, name="Mine")
    request = profile_pb.UpdateBrandRequest(brand=profile_pb.Brand(id=brand.id, name="Ours"))
    with fails(PermissionDenied, "FORBIDDEN"):
        await world.profiles.UpdateBrand(request, metadata=world.admin)
    assert await world.profiles.GetBrand(profile_pb.GetBrandRequest(brand_id=brand.id)) == brand


async def test_a_brand_that_is_not_there_is_not_found(world: World) -> None:
    with fails(NotFound, "BRAND_NOT_FOUND"):
        await world.profiles.GetBrand(profile_pb.GetBrandRequest(brand_id=str(new_id())))
    with fails(NotFound, "BRAND_NOT_FOUND"):
        await update(world, new_id(), id=str(new_id()), name="New")


async def test_an_id_has_to_be_an_id(world: World) -> None:
    with fails(InvalidArgument, "INVALID_FIELD", "brand_id"):
        await world.profiles.GetBrand(profile_pb.GetBrandRequest(brand_id="acme"))
    with fails(InvalidArgument, "INVALID_FIELD", "brand.id"):
        await update(world, new_id(), id="acme", name="New")


async def test_every_wrong_field_is_named_with_what_is_allowed(world: World) -> None:
    user_id, brand = await register(world)
    with fails(
        InvalidArgument,
        "INVALID_FIELD",
        "brand.name",
        "brand.description",
        "brand.website_url",
        "brand.logo_url",
        "brand.brand_type",
        "brand.company_size",
        "brand.user_role",
    ) as caught:
        await update(
            world,
            user_id,
            id=brand.id,
            name="x" * 201,
            description="x" * 5001,
            website_url="ftp://acme.example",
            logo_url="acme.png",
            brand_type="holding",
            company_size="2",
            user_role="x" * 51,
        )
    told = {each.field: each.description for each in caught.value.violations}
    assert told["brand.brand_type"] == "must be one of agency, direct, platform"
    assert told["brand.company_size"] == "must be one of 1-10, 11-50, 51-200, 201-1000, 1000+"


@pytest.mark.parametrize("field", ["name", "company_size", "user_role"])
async def test_what_every_brand_has_cannot_be_cleared(world: World, field: str) -> None:
    user_id, brand = await register(world)
    with fails(InvalidArgument, "INVALID_FIELD", f"brand.{field}"):
        await update(world, user_id, mask=[field], id=brand.id)


async def test_a_mask_with_what_cannot_be_changed_is_refused(world: World) -> None:
    user_id, brand = await register(world)
    with fails(InvalidArgument, "INVALID_FIELD", "update_mask"):
        await update(world, user_id, mask=["id", "name", "owner"], id=brand.id, name="New")


@pytest.mark.parametrize("slug", ["Manager", "a--b", "-a", "a b", "a_b"])
async def test_a_user_role_is_a_slug(world: World, slug: str) -> None:
    user_id, brand = await register(world)
    with fails(InvalidArgument, "INVALID_FIELD", "brand.user_role"):
        await update(world, user_id, id=brand.id, user_role=slug)


async def test_a_profile_that_shows_another_brand_has_another_etag(world: World) -> None:
    user_id, brand = await register(world)
    before = await world.profile(user_id)
    await update(world, user_id, id=brand.id, name="Renamed")
    after = await world.profile(user_id)
    assert after.brand.name == "Renamed"
    assert after.etag != before.etag


async def test_brands_are_got_by_their_users(world: World) -> None:
    (one, its), (other, others) = [await register(world) for _ in range(2)]
    without = await world.register()
    ids = [str(each) for each in (other, new_id(), one, without, other)]
    request = profile_pb.BatchGetBrandsRequest(user_ids=ids)
    assert list((await world.profiles.BatchGetBrands(request)).brands) == [
        profile_pb.UserBrand(user_id=str(other), brand=others),
        profile_pb.UserBrand(user_id=str(one), brand=its),
    ]


@pytest.mark.parametrize(
    ("ids", "field"), [([], "user_ids"), (["x"], "user_ids[0]"), (["x"] * 101, "user_ids")]
)
async def test_a_batch_of_brands_names_a_hundred_users_at_most(
    world: World, ids: list[str], field: str
) -> None:
    with fails(InvalidArgument, "INVALID_FIELD", field):
        await world.profiles.BatchGetBrands(profile_pb.BatchGetBrandsRequest(user_ids=ids))
