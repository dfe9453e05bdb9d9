"""Auth's use cases, one in each file, named after its RPC."""

from services.auth.usecases.accept_invitation import AcceptInvitation
from services.auth.usecases.change_email import ChangeEmail
from services.auth.usecases.change_password import ChangePassword
from services.auth.usecases.change_role import ChangeRole
from services.auth.usecases.check_api_key import CheckApiKey
from services.auth.usecases.check_invitation import CheckInvitation
from services.auth.usecases.check_session import CheckSession
from services.auth.usecases.confirm_totp import ConfirmTotp
from services.auth.usecases.create_api_key import CreateApiKey
from services.auth.usecases.create_invitation import CreateInvitation
from services.auth.usecases.create_totp import CreateTotp
from services.auth.usecases.create_webhook import CreateWebhook
from services.auth.usecases.delete_totp import DeleteTotp
from services.auth.usecases.delete_user import DeleteUser
from services.auth.usecases.delete_webhook import DeleteWebhook
from services.auth.usecases.disable_user import DisableUser
from services.auth.usecases.enable_user import EnableUser
from services.auth.usecases.end_api_key import EndApiKey
from services.auth.usecases.end_invitation import EndInvitation
from services.auth.usecases.end_session import EndSession
from services.auth.usecases.end_sessions import EndSessions
from services.auth.usecases.get_jwks import GetJwks
from services.auth.usecases.get_user import GetUser
from services.auth.usecases.get_user_access import GetUserAccess
from services.auth.usecases.get_webhook import GetWebhook
from services.auth.usecases.import_user import ImportUser
from services.auth.usecases.list_api_keys import ListApiKeys
from services.auth.usecases.list_invitations import ListInvitations
from services.auth.usecases.list_sessions import ListSessions
from services.auth.usecases.list_users import ListUsers
from services.auth.usecases.list_waiting_mail import ListWaitingMail
from services.auth.usecases.list_webhook_deliveries import ListWebhookDeliveries
from services.auth.usecases.list_webhooks import ListWebhooks
from services.auth.usecases.login import Login
from services.auth.usecases.logout import Logout
from services.auth.usecases.reauthenticate import Reauthenticate
from services.auth.usecases.refresh_token import RefreshToken
from services.auth.usecases.register import Register, Registrations
from services.auth.usecases.request_password_reset import RequestPasswordReset
from services.auth.usecases.resend_code import ResendCode
from services.auth.usecases.reset_mfa import ResetMfa
from services.auth.usecases.reset_password import ResetPassword
from services.auth.usecases.retry_waiting_mail import RetryWaitingMail
from services.auth.usecases.rotate_webhook_secret import RotateWebhookSecret
from services.auth.usecases.send_email_verification import SendEmailVerification
from services.auth.usecases.send_otp import SendOtp
from services.auth.usecases.send_webhook_again import SendWebhookAgain
from services.auth.usecases.unlock_user import UnlockUser
from services.auth.usecases.update_webhook import UpdateWebhook
from services.auth.usecases.verify_email import VerifyEmail
from services.auth.usecases.verify_mfa import VerifyMfa
from services.auth.usecases.verify_otp import VerifyOtp

__all__ = [
    "AcceptInvitation",
    "ChangeEmail",
    "ChangePassword",
    "ChangeRole",
    "CheckApiKey",
    "CheckInvitation",
    "CheckSession",
    "ConfirmTotp",
    "CreateApiKey",
    "CreateInvitation",
    "CreateTotp",
    "CreateWebhook",
    "DeleteTotp",
    "DeleteUser",
    "DeleteWebhook",
    "DisableUser",
    "EnableUser",
    "EndApiKey",
    "EndInvitation",
    "EndSession",
    "EndSessions",
    "GetJwks",
    "GetUser",
    "GetUserAccess",
    "GetWebhook",
    "ImportUser",
    "ListApiKeys",
    "ListInvitations",
    "ListSessions",
    "ListUsers",
    "ListWaitingMail",
    "ListWebhookDeliveries",
    "ListWebhooks",
    "Login",
    "Logout",
    "Reauthenticate",
    "RefreshToken",
    "Register",
    "Registrations",
    "RequestPasswordReset",
    "ResendCode",
    "ResetMfa",
    "ResetPassword",
    "RetryWaitingMail",
    "RotateWebhookSecret",
    "SendEmailVerification",
    "SendOtp",
    "SendWebhookAgain",
    "UnlockUser",
    "UpdateWebhook",
    "VerifyEmail",
    "VerifyMfa",
    "VerifyOtp",
]
