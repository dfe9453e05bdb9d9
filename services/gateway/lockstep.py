"""Settings of the gateway."""

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

from services.common.settings import CommonSettings


def _several(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value.startswith("["):
        return json.loads(value)
    return tuple(each.strip() for each in value.split(",") if each.strip())


Several = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_several)]


class GatewaySettings(CommonSettings):
    """What the gateway understands beside the common settings."""

    gateway_static: Path | None = Field(
        default=None, description="folder of a browser client, served at /"
    )
    gateway_origins: Several = Field(
        default=(),
        description="origins whose browsers may call (CORS), separated by commas, or *",
    )
    gateway_headers: Several = Field(
        default=(),
        description="further request headers that services get; grpc-metadata-x arrives as x",
    )
    gateway_trusted_proxies: Several = Field(
        default=(), description="networks whose X-Forwarded-For is believed, such as 10.0.0.0/8"
    )
    gateway_ignore_unknown: bool = Field(
        default=False, description="drop members of a body that a message does not have"
    )
    gateway_fold_first_letter: bool | None = Field(
        default=None,
        description="let JSON names begin with either case; on unless --descriptors is given",
    )
    gateway_deadline_seconds: float = Field(
        default=10.0, gt=0, le=600, description="how long a call may take, and does by default"
    )
    gateway_read_seconds: float = Field(
        default=10.0, gt=0, le=600, description="how long sending the headers or a body may take"
    )
    gateway_body_bytes: int = Field(
        default=1024 * 1024, ge=1024, le=4 * 1024 * 1024, description="largest request body"
    )
    gateway_header_bytes: int = Field(
        default=32 * 1024, ge=1024, le=1024 * 1024, description="most bytes of request headers"
    )
    gateway_url_bytes: int = Field(
        default=16 * 1024, ge=256, le=1024 * 1024, description="longest path with query"
    )
    gateway_requests: int = Field(
        default=1000, ge=1, description="requests in flight; more get 429"
    )
    gateway_error_domain: str = Field(
        default="lockstep", description="ErrorInfo.domain of the gateway's own errors"
    )
