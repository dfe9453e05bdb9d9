"""WalletService on the wire: requests become use cases, results become messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from google.type.money_pb2 import Money
from lockstep.profile.v1 import wallet_service_pb2 as wallet_pb

from services.kernel import money
from services.kernel.money import Currency
from services.kernel.paging import page_size
from services.kernel.rpc.call import Call
from services.kernel.rpc.timestamps import read_moment, timestamp
from services.kernel.sagas.idempotency import RequestKeys
from services.kernel.validation import Violations
from services.profile.model import NewTransfer, Share, Transfer, TransferKind, Wallet
from services.profile.servicers.actors import actor_of
from services.profile.usecases.debit_wallet import DebitWallet
from services.profile.usecases.get_wallet import GetWallet
from services.profile.usecases.list_wallet_transfers import ListWalletTransfers
from services.profile.usecases.refund_wallet import RefundWallet
from services.profile.usecases.release_sales import ReleaseSales
from services.profile.usecases.reverse_transfer import ReverseTransfer
from services.profile.usecases.top_up_wallet import TopUpWallet
from services.profile.usecases.void_transfer import VoidTransfer

WALLET = wallet_pb.DESCRIPTOR.services_by_name["WalletService"]

REFERENCE_MAX = 200
# As many as an order has lines.
SHARES_MAX = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletServicer:
    """Serves WalletService.

    Attributes:
        currency: The one currency of all wallets.
    """

    currency: Currency
    request_keys: RequestKeys
    get_wallet: GetWallet
    list_wallet_transfers: ListWalletTransfers
    top_up_wallet: TopUpWallet
    debit_wallet: DebitWallet
    void_transfer: VoidTransfer
    refund_wallet: RefundWallet
    release_sales: ReleaseSales
    reverse_transfer: ReverseTransfer

    async def GetWallet(self, request: wallet_pb.GetWalletRequest, call: Call) -> wallet_pb.Wallet:
        """Get a wallet."""
        with Violations() as v:
            user_id = v.user_id(request.user_id, "user_id", me=call.caller.own_id)
        wallet = await self.get_wallet(caller=call.caller, user_id=user_id)
        return self._wallet_message(wallet)

    async def ListWalletTransfers(
        self, request: wallet_pb.ListWalletTransfersRequest, call: Call
    ) -> wallet_pb.ListWalletTransfersResponse:
        """List the transfers of a wallet."""
        with Violations() as v:
            user_id = v.user_id(request.user_id, "user_id", me=call.caller.own_id)
            limit = page_size(request.page_size)
        found, next_token = await self.list_wallet_transfers(
            caller=call.caller, user_id=user_id, limit=limit, token=request.page_token
        )
        return wallet_pb.ListWalletTransfersResponse(
            transfers=[self._transfer_message(call, each) for each in found],
            next_page_token=next_token,
        )

    async def TopUpWallet(
        self, request: wallet_pb.TopUpWalletRequest, call: Call
    ) -> wallet_pb.Transfer:
        """Put money into a wallet."""
        with Violations() as v:
            new = NewTransfer(
                actor=actor_of(call),
                id=v.uuid(request.transfer_id, "transfer_id"),
                kind=TransferKind.TOP_UP,
                user_id=v.user_id(request.user_id, "user_id", me=call.caller.own_id),
                amount=self._amount(v, request),
                reference=v.text(request.reference, "reference", max_length=REFERENCE_MAX) or "",
            )
        key = self.request_keys.of(call)
        transfer = await self.top_up_wallet(new=new, origin=call.origin, key=key)
        return self._transfer_message(call, transfer)

    async def DebitWallet(
        self, request: wallet_pb.DebitWalletRequest, call: Call
    ) -> wallet_pb.Transfer:
        """Take money out of a wallet."""
        with Violations() as v:
            new = NewTransfer(
                actor=actor_of(call),
                reference=v.text(
                    request.reference, "reference", max_length=REFERENCE_MAX, required=True
                ),
                id=v.uuid(request.transfer_id, "transfer_id"),
                kind=TransferKind.DEBIT,
                user_id=v.uuid(request.user_id, "user_id"),
                amount=self._amount(v, request),
                shares=self._shares(v, request.shares),
            )
            check_sum(v, new)
            not_after = read_moment(v, request, "not_after")
        return self._transfer_message(call, await self.debit_wallet(new=new, not_after=not_after))

    async def VoidTransfer(
        self, request: wallet_pb.VoidTransferRequest, call: Call
    ) -> wallet_pb.Transfer:
        """Undo a debit."""
        with Violations() as v:
            transfer_id = v.uuid(request.transfer_id, "transfer_id")
        transfer = await self.void_transfer(
            transfer_id=transfer_id, actor=actor_of(call), origin=call.origin
        )
        return self._transfer_message(call, transfer)

    async def RefundWallet(
        self, request: wallet_pb.RefundWalletRequest, call: Call
    ) -> wallet_pb.Transfer:
        """Give back money of a debit."""
        with Violations() as v:
            new = NewTransfer(
                actor=actor_of(call),
                id=v.uuid(request.transfer_id, "transfer_id"),
                kind=TransferKind.REFUND,
                original_id=v.uuid(request.original_id, "original_id"),
                amount=self._amount(v, request),
                shares=self._shares(v, request.shares),
                is_released=request.released,
            )
            check_sum(v, new)
        return self._transfer_message(call, await self.refund_wallet(new=new, origin=call.origin))

    async def ReverseTransfer(
        self, request: wallet_pb.ReverseTransferRequest, call: Call
    ) -> wallet_pb.Transfer:
        """Take a top-up back."""
        with Violations() as v:
            new = NewTransfer(
                actor=actor_of(call),
                id=v.uuid(request.reversal_id, "reversal_id"),
                kind=TransferKind.REVERSAL,
                user_id=v.user_id(request.user_id, "user_id", me=call.caller.own_id),
                original_id=v.uuid(request.transfer_id, "transfer_id"),
                amount=self._amount(v, request) if request.HasField("amount") else 0,
                reference=v.text(request.reason, "reason", max_length=REFERENCE_MAX, required=True),
            )
        transfer = await self.reverse_transfer(new=new, origin=call.origin)
        return self._transfer_message(call, transfer)

    async def ReleaseSales(
        self, request: wallet_pb.ReleaseSalesRequest, call: Call
    ) -> wallet_pb.ReleaseSalesResponse:
        """Let sellers spend shares."""
        with Violations() as v:
            release_id = v.uuid(request.release_id, "release_id")
            original_id = v.uuid(request.original_id, "original_id")
            shares = self._shares(v, request.shares)
            if not shares:
                v.add("shares", "is required")
        await self.release_sales(
            release_id=release_id, original_id=original_id, given=shares, actor=actor_of(call)
        )
        return wallet_pb.ReleaseSalesResponse()

    def _shares(self, v: Violations, given: Sequence[wallet_pb.Share]) -> tuple[Share, ...]:
        """Read the shares of sellers, each of whom comes once."""
        if len(given) > SHARES_MAX:
            v.add("shares", f"must be at most {SHARES_MAX}")
            return ()
        shares: dict[UUID | None, Share] = {}
        for place, each in enumerate(given):
            path = f"shares[{place}]"
            seller = v.uuid(each.seller_id, f"{path}.seller_id") if each.seller_id else None
            if seller in shares:
                v.add(f"{path}.seller_id", "must be named once")
            shares[seller] = Share(seller, self._amount(v, each, f"{path}.amount"))
        return tuple(shares.values())

    def _amount(
        self,
        v: Violations,
        request: wallet_pb.TopUpWalletRequest
        | wallet_pb.DebitWalletRequest
        | wallet_pb.RefundWalletRequest
        | wallet_pb.ReverseTransferRequest
        | wallet_pb.Share,
        path: str = "amount",
    ) -> int:
        if not request.HasField("amount"):
            v.add(path, "is required")
            return 0
        return money.read_amount(v, request.amount, self.currency, path, positive=True)

    def _money(self, minor: int) -> Money:
        return money.to_wire(minor, self.currency)

    def _wallet_message(self, wallet: Wallet) -> wallet_pb.Wallet:
        return wallet_pb.Wallet(
            user_id=str(wallet.user_id),
            balance=self._money(wallet.balance),
            update_time=timestamp(wallet.update_time),
            pending=self._money(wallet.pending),
        )

    def _transfer_message(self, call: Call, transfer: Transfer) -> wallet_pb.Transfer:
        return wallet_pb.Transfer(
            id=str(transfer.id),
            user_id="" if transfer.user_id is None else str(transfer.user_id),
            kind=wallet_pb.TransferKind.Value(f"TRANSFER_KIND_{transfer.kind.name}"),
            amount=self._money(transfer.amount),
            state=wallet_pb.TransferState.Value(f"TRANSFER_STATE_{transfer.state.name}"),
            reference=transfer.reference,
            create_time=timestamp(transfer.create_time),
            refusal_reason=transfer.refusal_reason,
            original_id="" if transfer.original_id is None else str(transfer.original_id),
            actor=transfer.actor if call.caller.acts_for_all else "",
            balance_after=None
            if transfer.balance_after is None
            else self._money(transfer.balance_after),
        )


def check_sum(v: Violations, new: NewTransfer) -> None:
    """Make sure that sellers get no more than is paid."""
    if sum(each.amount for each in new.shares) > new.amount:
        v.add("shares", "must be the amount at most")
