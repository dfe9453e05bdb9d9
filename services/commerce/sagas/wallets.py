"""The calls of wallets that sagas share."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from lockstep.profile.v1 import wallet_service_pb2 as wallet_pb
from lockstep.profile.v1 import wallet_service_pb2_grpc as wallet_grpc

from services.commerce.domain.shares import Shares
from services.kernel.money import Currency, to_wire


@dataclass(frozen=True, slots=True)
class Wallets:
    """The wallets of Profile, in the one currency."""

    stub: wallet_grpc.WalletServiceAsyncStub
    currency: Currency

    async def refund(
        self,
        *,
        refund_id: UUID,
        debit_id: UUID,
        amount: int,
        shares: Shares,
        is_released: bool = False,
    ) -> wallet_pb.Transfer:
        """Give back money of a debit, and take the shares of it from the sellers."""
        return await self.stub.RefundWallet(
            wallet_pb.RefundWalletRequest(
                transfer_id=str(refund_id),
                original_id=str(debit_id),
                amount=to_wire(amount, self.currency),
                shares=self.messages(shares),
                released=is_released,
            )
        )

    async def release(self, *, shipment_id: UUID, debit_id: UUID, shares: Shares) -> None:
        """Let sellers spend their shares of what is shipped."""
        await self.stub.ReleaseSales(
            wallet_pb.ReleaseSalesRequest(
                release_id=str(shipment_id),
                original_id=str(debit_id),
                shares=self.messages(shares),
            )
        )

    def messages(self, shares: Shares) -> list[wallet_pb.Share]:
        """Return shares as messages."""
        return [
            wallet_pb.Share(
                seller_id="" if seller_id is None else str(seller_id),
                amount=to_wire(amount, self.currency),
            )
            for seller_id, amount in shares.items()
        ]
