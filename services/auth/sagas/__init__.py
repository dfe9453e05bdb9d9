"""The sagas that Auth coordinates, one a file."""

from services.auth.sagas.account_deletion import AccountDeletionSaga
from services.auth.sagas.profile_status import profile_status_sagas
from services.auth.sagas.profiles import RemoteProfiles
from services.auth.sagas.registration import RegistrationSaga

__all__ = [
    "AccountDeletionSaga",
    "RegistrationSaga",
    "RemoteProfiles",
    "profile_status_sagas",
]
