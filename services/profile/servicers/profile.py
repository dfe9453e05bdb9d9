"""ProfileService on the wire: requests become use cases, results become messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from google.protobuf.message import Message
from lockstep.profile.v1 import profile_service_pb2 as profile_pb

from services.common.vocabulary import Role, phone
from services.kernel import money
from services.kernel.money import Currency
from services.kernel.paging import PAGE_SIZE_MAX, page_size
from services.kernel.rpc.call import Call
from services.kernel.rpc.masks import named_fields
from services.kernel.rpc.timestamps import read_moment, timestamp
from services.kernel.validation import Violations
from services.profile.domain import fields
from services.profile.domain.fields import Rule
from services.profile.model import (
    INITIAL_STATUSES,
    STATUSES,
    Brand,
    NewBrand,
    NewProfile,
    Profile,
)
from services.profile.servicers.actors import actor_of
from services.profile.usecases.batch_get_brands import BatchGetBrands
from services.profile.usecases.cancel_profile import CancelProfile
from services.profile.usecases.create_profile import CreateProfile
from services.profile.usecases.forget_profile import ForgetProfile
from services.profile.usecases.get_brand import GetBrand
from services.profile.usecases.get_holdings import GetHoldings
from services.profile.usecases.get_profile import GetProfile
from services.profile.usecases.list_profiles import ListProfiles
from services.profile.usecases.phone_exists import PhoneExists
from services.profile.usecases.set_profile_status import SetProfileStatus
from services.profile.usecases.update_brand import UpdateBrand
from services.profile.usecases.update_profile import UpdateProfile

PROFILE = profile_pb.DESCRIPTOR.services_by_name["ProfileService"]

_REGISTERED = ("first_name", "last_name", "phone_number", "address", "course")
# The fields of a brand, and their names in a registration.
_COMPANY = {"name": "company", "company_size": "company_size", "user_role": "user_role"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileServicer:
    """Serves ProfileService."""

    currency: Currency
    get_holdings: GetHoldings
    create_profile: CreateProfile
    cancel_profile: CancelProfile
    phone_exists: PhoneExists
    get_profile: GetProfile
    update_profile: UpdateProfile
    list_profiles: ListProfiles
    set_profile_status: SetProfileStatus
    forget_profile: ForgetProfile
    get_brand: GetBrand
    batch_get_brands: BatchGetBrands
    update_brand: UpdateBrand

    async def CreateProfile(
        self, request: profile_pb.CreateProfileRequest, call: Call
    ) -> profile_pb.CreateProfileResponse:
        """Create the profile of a registration."""
        with Violations() as v:
            saga_id = v.uuid(request.saga_id, "saga_id")
            not_after = read_moment(v, request, "not_after")
            new = _new_profile(v, request)
        profile = await self.create_profile(saga_id=saga_id, not_after=not_after, new=new)
        message = profile_message(profile)
        return profile_pb.CreateProfileResponse(
            profile=message, brand=message.brand if message.HasField("brand") else None
        )

    async def CancelProfile(
        self, request: profile_pb.CancelProfileRequest, call: Call
    ) -> profile_pb.CancelProfileResponse:
        """Undo the profile of a registration."""
        with Violations() as v:
            saga_id = v.uuid(request.saga_id, "saga_id")
            v.uuid(request.user_id, "user_id")
        await self.cancel_profile(saga_id=saga_id, actor=actor_of(call))
        return profile_pb.CancelProfileResponse()

    async def PhoneExists(
        self, request: profile_pb.PhoneExistsRequest, call: Call
    ) -> profile_pb.PhoneExistsResponse:
        """Tell whether a phone number is taken."""
        with Violations() as v:
            number = phone(v, request.phone_number, "phone_number", required=True)
        return profile_pb.PhoneExistsResponse(
            exists=await self.phone_exists(phone_number=number or "")
        )

    async def GetProfile(
        self, request: profile_pb.GetProfileRequest, call: Call
    ) -> profile_pb.Profile:
        """Get a profile."""
        with Violations() as v:
            user_id = v.user_id(request.user_id, "user_id", me=call.caller.own_id)
        return profile_message(await self.get_profile(caller=call.caller, user_id=user_id))

    async def UpdateProfile(
        self, request: profile_pb.UpdateProfileRequest, call: Call
    ) -> profile_pb.Profile:
        """Change a profile."""
        with Violations() as v:
            user_id = v.user_id(request.profile.user_id, "profile.user_id", me=call.caller.own_id)
            changes = _changes(v, request, "profile", fields.PROFILE, identity="user_id")
        profile = await self.update_profile(
            caller=call.caller,
            user_id=user_id,
            changes=changes,
            origin=call.origin,
            etag=request.profile.etag,
        )
        return profile_message(profile)

    async def ListProfiles(
        self, request: profile_pb.ListProfilesRequest, call: Call
    ) -> profile_pb.ListProfilesResponse:
        """List profiles."""
        with Violations() as v:
            status = v.choice(request.status, "status", STATUSES)
            limit = page_size(request.page_size)
        found = await self.list_profiles(status=status, limit=limit, token=request.page_token)
        profiles, token = found.written(profile_message)
        return profile_pb.ListProfilesResponse(profiles=profiles, next_page_token=token)

    async def SetProfileStatus(
        self, request: profile_pb.SetProfileStatusRequest, call: Call
    ) -> profile_pb.SetProfileStatusResponse:
        """Set the status of a profile."""
        with Violations() as v:
            user_id = v.uuid(request.user_id, "user_id")
            status = v.choice(request.status, "status", STATUSES, required=True)
            version = v.at_least(1, request.status_version, "status_version")
        await self.set_profile_status(user_id=user_id, status=status or "", version=version)
        return profile_pb.SetProfileStatusResponse()

    async def GetHoldings(
        self, request: profile_pb.GetHoldingsRequest, call: Call
    ) -> profile_pb.GetHoldingsResponse:
        """Tell what a wallet holds."""
        with Violations() as v:
            user_id = v.uuid(request.user_id, "user_id")
        balance, pending = await self.get_holdings(user_id=user_id)
        return profile_pb.GetHoldingsResponse(
            balance=money.to_wire(balance, self.currency),
            pending=money.to_wire(pending, self.currency),
        )

    async def ForgetProfile(
        self, request: profile_pb.ForgetProfileRequest, call: Call
    ) -> profile_pb.ForgetProfileResponse:
        """Erase a profile."""
        with Violations() as v:
            v.uuid(request.saga_id, "saga_id")
            user_id = v.uuid(request.user_id, "user_id")
            forfeit = None
            if request.HasField("forfeit"):
                forfeit = money.read_amount(v, request.forfeit, self.currency, "forfeit")
        await self.forget_profile(user_id=user_id, forfeit=forfeit, actor=actor_of(call))
        return profile_pb.ForgetProfileResponse()

    async def GetBrand(self, request: profile_pb.GetBrandRequest, call: Call) -> profile_pb.Brand:
        """Get a brand."""
        with Violations() as v:
            brand_id = v.uuid(request.brand_id, "brand_id")
        return brand_message(await self.get_brand(brand_id=brand_id))

    async def BatchGetBrands(
        self, request: profile_pb.BatchGetBrandsRequest, call: Call
    ) -> profile_pb.BatchGetBrandsResponse:
        """Get the brands of several users."""
        with Violations() as v:
            user_ids = v.uuids(request.user_ids, "user_ids", limit=PAGE_SIZE_MAX)
        found = await self.batch_get_brands(user_ids=user_ids)
        return profile_pb.BatchGetBrandsResponse(
            brands=[
                profile_pb.UserBrand(user_id=str(each.owner_id), brand=brand_message(each))
                for each in found
            ]
        )

    async def UpdateBrand(
        self, request: profile_pb.UpdateBrandRequest, call: Call
    ) -> profile_pb.Brand:
        """Change a brand."""
        with Violations() as v:
            brand_id = v.uuid(request.brand.id, "brand.id")
            changes = _changes(v, request, "brand", fields.BRAND, identity="id")
        return brand_message(
            await self.update_brand(caller=call.user, brand_id=brand_id, changes=changes)
        )


def profile_message(profile: Profile) -> profile_pb.Profile:
    """Return a profile as a message."""
    return profile_pb.Profile(
        id=str(profile.id),
        user_id=str(profile.user_id),
        first_name=profile.first_name or "",
        last_name=profile.last_name or "",
        display_name=profile.display_name,
        phone_number=profile.phone_number,
        address=profile.address,
        bio=profile.bio,
        avatar_url=profile.avatar_url,
        course=profile.course,
        status=profile.status,
        brand=None if profile.brand is None else brand_message(profile.brand),
        create_time=timestamp(profile.create_time),
        update_time=timestamp(profile.update_time),
        etag=profile.etag,
    )


def brand_message(brand: Brand) -> profile_pb.Brand:
    """Return a brand as a message."""
    return profile_pb.Brand(
        id=str(brand.id),
        name=brand.name,
        description=brand.description,
        website_url=brand.website_url,
        logo_url=brand.logo_url,
        brand_type=brand.brand_type,
        company_size=brand.company_size or "",
        user_role=brand.user_role or "",
    )


def _new_profile(v: Violations, request: profile_pb.CreateProfileRequest) -> NewProfile:
    role = v.choice(request.role, "role", tuple(Role), required=True)
    status = v.choice(request.initial_status, "initial_status", INITIAL_STATUSES, required=True)
    return NewProfile(
        user_id=v.uuid(request.user_id, "user_id"),
        status=status or "",
        brand=_new_brand(v, request) if role == Role.BRAND else None,
        **{name: fields.PROFILE[name](v, getattr(request, name), name) for name in _REGISTERED},
    )


def _new_brand(v: Violations, request: profile_pb.CreateProfileRequest) -> NewBrand | None:
    if not request.company:
        return None
    name, company_size, user_role = (
        fields.BRAND[own](v, getattr(request, given), given) for own, given in _COMPANY.items()
    )
    return NewBrand(name=name or "", company_size=company_size, user_role=user_role)


def _changes(
    v: Violations,
    request: profile_pb.UpdateProfileRequest | profile_pb.UpdateBrandRequest,
    field: str,
    rules: Mapping[str, Rule],
    *,
    identity: str,
) -> dict[str, str | None]:
    """Return the new values of the fields in the mask; without a mask, of those that are set."""
    resource: Message = getattr(request, field)
    names = named_fields(v, request, field, rules, identity=identity)
    return {name: rules[name](v, getattr(resource, name), f"{field}.{name}") for name in names}
