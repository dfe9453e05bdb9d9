"""Auth's settings."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from services.common.settings import (
    CommonSettings,
    Port,
    PostgresUrl,
    SmtpUrl,
    database_of,
)

BCRYPT_COST_MIN = {"prod": 10, "test": 4}
COST_MAX = 18  # a comparison takes about 16 s


def sink_url(port: int | str) -> str:
    """Return the URL of the mail sink of `lockstep up`."""
    return f"smtp://127.0.0.1:{port}"


def _header(sender: str) -> str:
    if not sender.isprintable():
        raise ValueError("must be one line, such as Lockstep <no-reply@lockstep.example>")
    return sender


def _one_line(name: str) -> str:
    if not name.isprintable() or not name.strip():
        raise ValueError("must be one line, such as Lockstep")
    return name.strip()


def _page(url: str) -> str:
    parts = urlsplit(url)
    is_page = parts.scheme in ("http", "https") and bool(parts.hostname)
    if not is_page or not url.isprintable() or " " in url:
        raise ValueError("must be a URL such as https://lockstep.example")
    return url.rstrip("/")


class AuthSettings(CommonSettings):
    """Auth's settings beside the common ones."""

    auth_database_url: PostgresUrl = Field(
        default_factory=lambda data: database_of(data, "authdb"),
        description="database of Auth",
    )
    auth_migrate_database_url: PostgresUrl = Field(
        default_factory=lambda data: data["auth_database_url"],
        description="that database as the role that migrates it, past any pooler",
    )
    mail_port: Port = Field(default=50025, description="SMTP port of the mail sink")
    smtp_url: SmtpUrl = Field(
        default_factory=lambda data: sink_url(data["mail_port"]),
        description="SMTP server, smtp(s)://user:password@host:port; the sink by default",
    )
    mail_from: Annotated[str, AfterValidator(_header)] = Field(
        default="Lockstep <no-reply@lockstep.example>", description="sender of mail"
    )
    product_name: Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_one_line)] = (
        Field(
            default="Lockstep",
            description="name of the product, in mails and in apps for codes",
        )
    )
    link_base: Annotated[str, AfterValidator(_page)] | None = Field(
        default=None,
        description="URL of the product's pages, to which mails lead; none: they lead nowhere",
    )
    order_mails: bool = Field(
        default=True, description="whether buyers get mails about their orders"
    )
    reserved_domains: str | None = Field(
        default=None,
        description="reserved domains that e-mail addresses may have, such as local,test",
    )
    password_words: str | None = Field(
        default=None,
        description="words that no password may be made of, such as acme,widgets",
    )
    admin_mfa: Literal["off", "required"] = Field(
        default="off",
        description="whether administrators need a second factor: off or required",
    )
    webhook_private_addresses: bool = Field(
        default=False,
        description="whether webhooks may lead to private addresses, and over plain http",
    )
    bcrypt_cost: int = Field(
        default=12,
        le=COST_MAX,
        description="cost of a password hash: 10 at least, 4 in tests",
    )

    @field_validator("bcrypt_cost")
    @classmethod
    def _cost_is_safe(cls, cost: int, info: ValidationInfo) -> int:
        least = BCRYPT_COST_MIN[info.data.get("env", "prod")]
        if cost < least:
            raise ValueError(f"must be at least {least}")
        return cost
