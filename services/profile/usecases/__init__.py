"""The use cases of Profile: a file for each, named after its RPC."""

from services.profile.usecases.batch_get_brands import BatchGetBrands
from services.profile.usecases.cancel_profile import CancelProfile
from services.profile.usecases.create_profile import CreateProfile
from services.profile.usecases.debit_wallet import DebitWallet
from services.profile.usecases.forget_profile import ForgetProfile
from services.profile.usecases.get_brand import GetBrand
from services.profile.usecases.get_holdings import GetHoldings
from services.profile.usecases.get_profile import GetProfile
from services.profile.usecases.get_wallet import GetWallet
from services.profile.usecases.list_profiles import ListProfiles
from services.profile.usecases.list_wallet_transfers import ListWalletTransfers
from services.profile.usecases.phone_exists import PhoneExists
from services.profile.usecases.refund_wallet import RefundWallet
from services.profile.usecases.release_sales import ReleaseSales
from services.profile.usecases.reverse_transfer import ReverseTransfer
from services.profile.usecases.set_profile_status import SetProfileStatus
from services.profile.usecases.top_up_wallet import TopUpWallet
from services.profile.usecases.update_brand import UpdateBrand
from services.profile.usecases.update_profile import UpdateProfile
from services.profile.usecases.void_transfer import VoidTransfer

__all__ = [
    "BatchGetBrands",
    "CancelProfile",
    "CreateProfile",
    "DebitWallet",
    "ForgetProfile",
    "GetBrand",
    "GetHoldings",
    "GetProfile",
    "GetWallet",
    "ListProfiles",
    "ListWalletTransfers",
    "PhoneExists",
    "RefundWallet",
    "ReleaseSales",
    "ReverseTransfer",
    "SetProfileStatus",
    "TopUpWallet",
    "UpdateBrand",
    "UpdateProfile",
    "VoidTransfer",
]
