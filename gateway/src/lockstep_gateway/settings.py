"""The settings of a gateway, each a field with its limits and its description.

The fields begin with `gateway_`, so that `GATEWAY_ORIGINS` is the variable of `gateway_origins`.
Another program may take the fields into settings of its own, under a prefix of its own.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final

from lockstep_gateway.binding.system import GOOGLES
from lockstep_gateway.http.config import (
    ANSWER_BYTES,
    INDEX,
    STREAM_SECONDS,
    STREAMS,
    ApiInfo,
    Certificate,
    GatewayConfig,
    HeadLimits,
    Limits,
    ServerConfig,
)
from lockstep_gateway.http.headers import HeaderPolicy, OutboundHeaders
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import NoDecode


def _several(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value.startswith("["):
        return json.loads(value)
    return tuple(each.strip() for each in value.split(",") if each.strip())


def _site(path: Path | None) -> Path | None:
    if path is None:
        return None
    if not os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises for one that is not reachable
        raise ValueError("must be a folder")
    try:
        index = (path / INDEX).read_bytes()
    except OSError:
        index = b""
    if not index:
        raise ValueError(f"must hold an {INDEX} that this user can read")
    return path


def _networks(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        try:
            ipaddress.ip_network(name)
        except ValueError:
            raise ValueError(f"must be networks such as 10.0.0.0/8, not {name}") from None
    return names


def _hosts(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if not _HOST.fullmatch(name):
            raise ValueError(f"must be hosts such as https://images.example.com, not {name}")
    return names


# What is no host would be another word of the policy, or end it.
_LABEL: Final = r"[A-Za-z0-9-]+"
_HOST: Final = re.compile(rf"(?:https?://)?(?:\*\.)?{_LABEL}(?:\.{_LABEL})*(?::\d{{1,5}})?")

Several = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_several)]


class GatewayFields(BaseModel):
    """The settings of a gateway that hold for any process around it."""

    RESERVED_HEADERS: ClassVar[tuple[str, ...]] = ()
    """The prefixes of names that only the gateway itself may send."""

    gateway_static: Annotated[Path | None, AfterValidator(_site)] = Field(
        default=None, description="folder of a browser client, served at /"
    )
    gateway_image_hosts: Annotated[Several, AfterValidator(_hosts)] = Field(
        default=(),
        description="hosts whose pictures it may show besides its own, separated by commas",
    )
    gateway_origins: Several = Field(
        default=(),
        description="origins whose browsers may call (CORS), separated by commas, or *",
    )
    gateway_headers: Several = Field(
        default=(),
        description="further request headers that services get; grpc-metadata-x arrives as x",
    )
    gateway_headers_out: Several = Field(
        default=(),
        description="metadata of answers that becomes headers, such as set-cookie",
    )
    gateway_trusted_proxies: Annotated[Several, AfterValidator(_networks)] = Field(
        default=(), description="networks whose X-Forwarded-For is believed, such as 10.0.0.0/8"
    )
    gateway_ignore_unknown: bool = Field(default=False, description="drop unknown fields of a body")
    gateway_fold_first_letter: bool | None = Field(
        default=None, description="let JSON names begin with either case"
    )
    gateway_ignored_parameters: Several = Field(
        default=GOOGLES,
        description="query parameters to ignore unless a field has the name, such as key,utm_*",
    )
    gateway_connect: bool = Field(
        default=True, description="serve methods by the Connect protocol, too"
    )
    gateway_deadline_seconds: float = Field(
        default=10.0, gt=0, le=600, description="longest time of a call, and its default"
    )
    gateway_read_seconds: float = Field(
        default=10.0,
        gt=0,
        le=600,
        description="longest time that headers or a body may take to arrive",
    )
    gateway_idle_seconds: float | None = Field(
        default=None,
        gt=0,
        le=3600,
        description="longest time that a connection may be idle or take to send headers",
    )
    gateway_http2: bool = Field(default=False, description="let clients use HTTP/2, too")
    gateway_tls_cert: Path | None = Field(
        default=None, description="certificate with its chain (PEM), to serve HTTPS"
    )
    gateway_tls_key: Path | None = Field(
        default=None, validate_default=True, description="key of the certificate (PEM)"
    )
    gateway_body_bytes: int = Field(
        default=1024 * 1024, ge=1024, le=4 * 1024 * 1024, description="largest request body"
    )
    gateway_answer_bytes: int = Field(
        default=ANSWER_BYTES,
        ge=1024,
        le=256 * 1024 * 1024,
        description="largest answer of a service; a larger one is 500",
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
    gateway_streams: int = Field(
        default=STREAMS, ge=0, description="streams in flight; more get 429"
    )
    gateway_stream_seconds: float = Field(
        default=STREAM_SECONDS,
        gt=0,
        le=86_400,
        description="longest time of a stream, and its default",
    )
    gateway_api_title: str | None = Field(
        default=None, description="name of the API in /openapi.json; by default from its packages"
    )
    gateway_api_version: str | None = Field(
        default=None, description="version of the API there; by default from its packages"
    )
    gateway_api_description: str | None = Field(default=None, description="text on the API there")
    gateway_api_contact: str | None = Field(
        default=None, description="URL, e-mail address or name of those who answer questions on it"
    )
    gateway_api_license: str | None = Field(
        default=None, description="licence of the API there, such as Apache-2.0"
    )
    gateway_api_servers: Several = Field(
        default=(), description="URLs of the API there; by default the document's own host"
    )
    gateway_api_visibility: Several = Field(
        default=(), description="labels of google.api.visibility that documents show, too"
    )
    gateway_api_audiences: Several = Field(
        default=(),
        description="labels of google.api.visibility, each with a document /openapi/LABEL.json",
    )
    gateway_error_domain: str = Field(
        default="gateway", description="ErrorInfo.domain of the gateway's own errors"
    )

    @property
    def scheme(self) -> str:
        """The scheme of the gateway's URLs."""
        return "https" if self.gateway_tls_cert else "http"

    @field_validator("gateway_headers")
    @classmethod
    def _are_passable(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        HeaderPolicy(names, reserved=cls.RESERVED_HEADERS)  # refuses names that must not pass
        return names

    @field_validator("gateway_headers_out")
    @classmethod
    def _may_be_sent(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        OutboundHeaders(names)  # refuses names that the gateway itself sends
        return names

    @field_validator("gateway_tls_key")
    @classmethod
    def _has_certificate(cls, key: Path | None, info: ValidationInfo) -> Path | None:
        if (key is None) != (info.data.get("gateway_tls_cert") is None):
            prefix = cls.model_config.get("env_prefix", "")
            raise ValueError(f"must be set together with {prefix}GATEWAY_TLS_CERT")
        return key


def gateway_config(
    settings: GatewayFields,
    *,
    sends_pings: bool = False,
    folds_first_letter: bool = False,
    api_info: ApiInfo = ApiInfo(),  # noqa: B008 - it is frozen
) -> GatewayConfig:
    """Turn the settings into plain values.

    Args:
        settings: The settings.
        sends_pings: Whether all upstreams are known to allow pings.
        folds_first_letter: Whether JSON names may begin with either case, by default.
        api_info: Facts about the API that hold unless a setting says otherwise.
    """
    folds = settings.gateway_fold_first_letter
    return GatewayConfig(
        error_domain=settings.gateway_error_domain,
        ignore_unknown=settings.gateway_ignore_unknown,
        fold_first_letter=folds_first_letter if folds is None else folds,
        ignored_parameters=settings.gateway_ignored_parameters,
        has_connect=settings.gateway_connect,
        extra_headers=settings.gateway_headers,
        headers_out=settings.gateway_headers_out,
        reserved_headers=settings.RESERVED_HEADERS,
        trusted_proxies=settings.gateway_trusted_proxies,
        origins=settings.gateway_origins,
        static=settings.gateway_static,
        image_hosts=settings.gateway_image_hosts,
        api_info=_api_info(settings, api_info),
        limits=_limits(settings),
        head_limits=head_limits(settings),
        sends_pings=sends_pings,
    )


def head_limits(settings: GatewayFields) -> HeadLimits:
    """Turn the limits of the heads of requests into plain values."""
    return HeadLimits(settings.gateway_url_bytes, settings.gateway_header_bytes)


def server_config(
    settings: GatewayFields,
    *,
    listen_on: tuple[str, int],
    stop_delay_seconds: float = 0.0,
    stop_grace_seconds: float = 10.0,
    another_signal: Callable[[], Awaitable[object]],
) -> ServerConfig:
    """Turn the settings of the HTTP server into plain values."""
    chain, key = settings.gateway_tls_cert, settings.gateway_tls_key
    return ServerConfig(
        listen_on=listen_on,
        idle_seconds=settings.gateway_idle_seconds or settings.gateway_read_seconds,
        stop_delay_seconds=stop_delay_seconds,
        stop_grace_seconds=stop_grace_seconds,
        has_http2=settings.gateway_http2,
        certificate=Certificate(chain, key) if chain and key else None,
        another_signal=another_signal,
    )


def _api_info(settings: GatewayFields, default: ApiInfo) -> ApiInfo:
    return ApiInfo(
        title=settings.gateway_api_title or default.title,
        version=settings.gateway_api_version or default.version,
        description=settings.gateway_api_description or default.description,
        contact=settings.gateway_api_contact or default.contact,
        license=settings.gateway_api_license or default.license,
        servers=settings.gateway_api_servers or default.servers,
        labels=settings.gateway_api_visibility or default.labels,
        audiences=settings.gateway_api_audiences or default.audiences,
    )


def _limits(settings: GatewayFields) -> Limits:
    return Limits(
        requests=settings.gateway_requests,
        body_bytes=settings.gateway_body_bytes,
        call_seconds=settings.gateway_deadline_seconds,
        body_seconds=settings.gateway_read_seconds,
        answer_bytes=settings.gateway_answer_bytes,
        streams=settings.gateway_streams,
        stream_seconds=settings.gateway_stream_seconds,
    )
