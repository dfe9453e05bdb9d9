"""Auth's messages: read requests and check their form, and write answers."""

from __future__ import annotations

from typing import TypedDict
from uuid import UUID

from google.protobuf.message import Message
from lockstep.auth.v1 import auth_service_pb2 as auth_pb

from services.auth.domain import passwords
from services.auth.domain.challenges import Challenge
from services.auth.domain.codes import SubmittedCode, is_code
from services.auth.domain.emails import is_reserved, parse_email
from services.auth.domain.registration import REQUIRED, Details
from services.auth.domain.sessions import Tokens
from services.auth.domain.tokens import ACCESS_SECONDS
from services.auth.model import CanonicalEmail, Email, Status, User
from services.auth.sagas.registration import RegisteredUser
from services.auth.store.sessions import ListedSession
from services.common.vocabulary import (
    ADDRESS_MAX,
    COMPANY_MAX,
    COMPANY_SIZES,
    COURSE_MAX,
    NAME_MAX,
    Role,
    phone,
    user_role,
)
from services.kernel.rpc.timestamps import timestamp
from services.kernel.validation import Violations

NewPasswordRequest = auth_pb.RegisterRequest | auth_pb.SendOtpRequest
RegistrationRequest = NewPasswordRequest | auth_pb.ImportUserRequest
CodeRequest = auth_pb.VerifyOtpRequest | auth_pb.VerifyEmailRequest | auth_pb.ResetPasswordRequest

AccountRequest = (
    auth_pb.UnlockUserRequest
    | auth_pb.ResetMfaRequest
    | auth_pb.ResendCodeRequest
    | auth_pb.GetUserAccessRequest
    | auth_pb.PromoteUserRequest
    | auth_pb.DemoteUserRequest
)

# Stands for a wrong e-mail until the violations are raised.
_WRONG = Email("", CanonicalEmail(""))


def read_registration(
    request: NewPasswordRequest, *, is_complete: bool, language: str | None
) -> Details:
    """Check a registration and return it in canonical form, without its password.

    Args:
        request: The request.
        is_complete: Whether the fields that the role requires must be there.
        language: The language that the caller reads.

    Raises:
        InvalidField: With every wrong field.
    """
    with Violations() as v:
        details = _details(v, request, is_complete=is_complete, language=language)
        _check_passwords(v, request, details.email)
    return details


def read_import(request: auth_pb.ImportUserRequest) -> Details:
    """Check the account of another system and return it in canonical form.

    Raises:
        InvalidField: With every wrong field.
    """
    with Violations() as v:
        details = _details(v, request, is_complete=False)
        if not request.password_hash:
            v.add("password_hash", "is required")
        elif not passwords.is_hash(request.password_hash):
            v.add("password_hash", "must be a bcrypt hash ($2a$, $2b$, $2y$) of cost 4 to 18")
    return details


def _details(
    v: Violations, request: RegistrationRequest, *, is_complete: bool, language: str | None = None
) -> Details:
    email = read_email(v, request.email, "email")
    role = _role(v, request)
    required = REQUIRED[role] if is_complete else frozenset()
    full_name, first_name, last_name = _names(v, request, required)
    of_company = "company" in required or bool(request.company)
    return Details(
        email=email,
        role=role,
        full_name=full_name,
        first_name=first_name,
        last_name=last_name,
        phone_number=phone(
            v, request.phone_number, "phone_number", required="phone_number" in required
        ),
        address=v.text(request.address, "address", max_length=ADDRESS_MAX, multiline=True),
        course=v.text(
            request.course, "course", max_length=COURSE_MAX, required="course" in required
        ),
        company=v.text(
            request.company, "company", max_length=COMPANY_MAX, required="company" in required
        ),
        company_size=v.choice(
            request.company_size, "company_size", COMPANY_SIZES, required=of_company
        ),
        user_role=user_role(v, request.user_role, "user_role", required=of_company),
        language=language,
    )


def read_email(v: Violations, text: str, field: str) -> Email:
    """Check an e-mail address."""
    email = parse_email(text)
    if not text.strip():
        v.add(field, "is required")
    elif email is None and is_reserved(text):
        v.add(field, "is at a reserved domain: must be one that can get mail")
    elif email is None:
        v.add(field, "must be an e-mail address such as alice@example.com")
    return email or _WRONG


def read_account(v: Violations, request: AccountRequest) -> UUID | CanonicalEmail:
    """Check the name of an account: its id or its e-mail address."""
    if not check_one(v, request, "user_id", "email"):
        return _WRONG.canonical
    if request.email:
        return read_email(v, request.email, "email").canonical
    return v.uuid(request.user_id, "user_id")


def read_code(v: Violations, request: CodeRequest) -> SubmittedCode:
    """Check the form of a mailed code."""
    submitted = SubmittedCode(
        flow_id=v.uuid(request.flow_id, "flow_id"),
        email=read_email(v, request.email, "email").canonical,
        otp=request.otp,
    )
    if not request.otp.strip():
        v.add("otp", "is required")
    elif not is_code(request.otp):
        v.add("otp", "must be six digits")
    return submitted


def check_one(v: Violations, request: Message, first: str, second: str) -> bool:
    """Check that exactly one of two texts is set, and return whether it is.

    Both say the same in two ways. If one of them won, a path could name one thing and the body
    another, which is then what the call acts on.
    """
    rule = f"exactly one of {first} and {second} must be set"
    has_first, has_second = bool(getattr(request, first)), bool(getattr(request, second))
    if has_first and has_second:
        v.add(second, f"must be empty when {first} is set: {rule}")
    elif not has_first and not has_second:
        v.add(first, f"is required: {rule}")
    return has_first != has_second


def require(v: Violations, text: str, field: str) -> None:
    """Check that a text is not empty."""
    if not text:
        v.add(field, "is required")


def check_password(
    v: Violations, password: str, field: str, *, email: CanonicalEmail | None = None
) -> None:
    """Check a new password; the owner's e-mail may still be unknown."""
    for fault in passwords.faults(password, email=email):
        v.add(field, fault)


def _check_passwords(v: Violations, request: NewPasswordRequest, email: Email) -> None:
    require(v, request.password, "password")
    if request.password:
        names = (request.full_name, request.first_name, request.last_name, request.company)
        for fault in passwords.faults(request.password, email=email.canonical, names=names):
            v.add("password", fault)
    if request.HasField("confirm_password") and not passwords.are_same(
        request.confirm_password, request.password
    ):
        v.add("confirm_password", "must be the same as password")


def _role(v: Violations, request: RegistrationRequest) -> Role:
    if not request.role:
        return Role.STUDENT if request.course else Role.CUSTOMER
    return Role(v.choice(request.role, "role", tuple(REQUIRED)) or Role.CUSTOMER)


def _names(
    v: Violations, request: RegistrationRequest, required: frozenset[str]
) -> tuple[str, str | None, str | None]:
    """Return full, first and last name; either form may follow from the other."""
    first = v.text(
        request.first_name, "first_name", max_length=NAME_MAX, required="first_name" in required
    )
    last = v.text(
        request.last_name, "last_name", max_length=NAME_MAX, required="last_name" in required
    )
    is_named = first is not None and last is not None
    full = v.text(
        request.full_name,
        "full_name",
        max_length=NAME_MAX,
        required="full_name" in required and not is_named,
    )
    if full is not None and first is None and last is None:
        first, _, rest = full.partition(" ")
        last = rest.strip() or None
    return full or " ".join(part for part in (first, last) if part), first, last


class TokenFields(TypedDict):
    """The fields of an answer that opens or renews a session."""

    token: str
    user_id: str
    email: str
    expires_in: int
    refresh_token: str


class ChallengeFields(TypedDict):
    """The fields of an answer that asks for the second factor."""

    user_id: str
    email: str
    mfa_token: str


def challenge_fields(challenge: Challenge) -> ChallengeFields:
    """Ask for the second factor."""
    return {
        "user_id": str(challenge.user_id),
        "email": challenge.email_display,
        "mfa_token": challenge.token,
    }


def token_fields(tokens: Tokens) -> TokenFields:
    """Write the tokens of a session."""
    return {
        "token": tokens.access,
        "user_id": str(tokens.user_id),
        "email": tokens.email_display,
        "expires_in": ACCESS_SECONDS,
        "refresh_token": tokens.refresh,
    }


def session_message(session: ListedSession, *, is_current: bool) -> auth_pb.Session:
    """Write a session.

    Args:
        session: The session.
        is_current: Whether it is the caller's own.
    """
    return auth_pb.Session(
        id=str(session.id),
        client_name=session.client_name or "",
        address=session.client_ip or "",
        create_time=timestamp(session.create_time),
        auth_time=timestamp(session.auth_time),
        last_seen_time=timestamp(session.last_seen_time),
        expire_time=timestamp(session.expire_time),
        current=is_current,
        second_factor=session.has_second_factor,
    )


def user_message(user: User) -> auth_pb.User:
    """Write a user."""
    return auth_pb.User(
        id=str(user.id),
        email=user.email_display,
        full_name=user.full_name,
        role=user.role,
        create_time=timestamp(user.create_time),
        email_verified=user.email_verified,
        disabled=user.status is Status.DISABLED,
        status=user.status.lower(),
        second_factor=user.has_second_factor,
    )


def registered_message(user: RegisteredUser) -> auth_pb.User:
    """Write a new user."""
    return auth_pb.User(
        id=str(user.id),
        email=user.email,
        full_name=user.full_name,
        role=user.role,
        create_time=None if user.create_time is None else timestamp(user.create_time),
        email_verified=user.email_verified,
        status=Status.ACTIVE.lower(),
    )
