"""The sagas that Commerce coordinates, one a file."""

from __future__ import annotations

from lockstep.profile.v1 import wallet_service_pb2_grpc as wallet_grpc

from services.commerce.sagas.checkout import CheckoutSaga
from services.commerce.sagas.refund import CancellationSaga, ReturnSaga
from services.commerce.sagas.release import ReleaseSaga
from services.commerce.sagas.wallets import Wallets
from services.kernel.money import Currency
from services.kernel.sagas.protocol import AnySaga


def all_sagas(stub: wallet_grpc.WalletServiceAsyncStub, currency: Currency) -> list[AnySaga]:
    """Return the sagas about orders, with the wallets of Profile."""
    wallets = Wallets(stub, currency)
    return [kind(wallets) for kind in (CheckoutSaga, CancellationSaga, ReturnSaga, ReleaseSaga)]
