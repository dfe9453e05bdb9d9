"""Profile tells what has changed and which money has moved."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

from google.protobuf.field_mask_pb2 import FieldMask
from lockstep.profile.v1 import profile_service_pb2 as profile_pb

from services.kernel.ids import new_id
from services.profile.model import SUSPENSE, TransferKind
from tests.profile.test_reversals import reverse
from tests.profile.test_shares import Sale
from tests.profile.world import World, shares_of
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


# What an event of each kind does to the balance of its wallet, and to what is pending.
EFFECTS: dict[TransferKind, tuple[int, int]] = {
    TransferKind.TOP_UP: (1, 0),
    TransferKind.REVERSAL: (-1, 0),
    TransferKind.DEBIT: (-1, 0),
    TransferKind.REFUND: (1, 0),
    TransferKind.VOID: (1, 0),
    TransferKind.SALE: (0, 1),
    TransferKind.RELEASE: (1, -1),
    TransferKind.SALE_REFUND: (-1, 0),
    TransferKind.FORFEIT: (-1, 0),
}
PENDING_TOO = {TransferKind.SALE_REFUND, TransferKind.FORFEIT}


async def test_the_events_alone_tell_what_every_wallet_holds(world: World) -> None:
    sale = await Sale.of(world)
    await world.refund(sale.id, 20, shares=shares_of({sale.one: 18, sale.other: 2}))
    await world.release(sale.id, {sale.one: 100})
    await world.refund(sale.id, 10, shares=shares_of({sale.one: 9}), released=True)
    top_up = await world.top_up(sale.buyer, 50)
    await reverse(world, sale.buyer, top_up.id, 20)
    await reverse(world, sale.buyer, top_up.id)  # all that is left
    second = new_id()
    await world.debit(sale.buyer, 10, transfer_id=second, shares=shares_of({sale.other: 9}))
    await world.void(second)
    rows = world.rows("SELECT user_id, id::text FROM accounts WHERE user_id IS NOT NULL")
    wallets = {row.user_id: row.id for row in rows}
    held = {wallets[each]: await holdings(world, each) for each in (sale.buyer, sale.one)}
    await world.forget(sale.other)
    await world.refund(sale.id, 5, shares=shares_of({None: 4}))
    held[wallets[sale.buyer]] = await holdings(world, sale.buyer)

    told_now = told(world.url, "profile")
    posted = world.rows("SELECT id::text FROM transfers WHERE state = 'posted'")
    assert Counter(each.facts["transfer_id"] for each in told_now) == Counter(
        row.id for row in posted
    )
    assert {each.facts["kind"] for each in told_now} == {str(each) for each in TransferKind}
    balances, pending = Counter[str](), Counter[str]()
    for event in told_now:
        kind, wallet = TransferKind(event.facts["kind"]), event.facts["wallet_id"]
        assert event.subject == f"wallets/{wallet}"
        of_balance, of_pending = EFFECTS[kind]
        if kind in PENDING_TOO and event.facts.get("pending"):
            of_balance, of_pending = of_pending, of_balance
        assert event.facts.get("pending", False) == (of_balance == 0)
        balances[wallet] += of_balance * event.facts["amount"]
        pending[wallet] += of_pending * event.facts["amount"]
    for wallet, holding in held.items():
        assert (balances[wallet], pending[wallet]) == holding
    assert balances[wallets[sale.other]] == pending[wallets[sale.other]] == 0
    assert balances.keys() == {*wallets.values(), str(SUSPENSE)}


async def holdings(world: World, user_id: UUID) -> tuple[int, int]:
    return await world.balance(user_id), await world.pending(user_id)
