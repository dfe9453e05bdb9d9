"""The largest legal answer of every RPC, built from the limits, fits into what callers take.

gRPC refuses a larger answer outside of all our layers, and of a RPC that writes after its
commit: the caller could never learn what happened.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from lockstep.errors.v1 import error_reason_pb2 as error_pb
from lockstep_clients import channels
from lockstep_clients.methods import descriptors

from services.auth.domain.api_keys import SCOPES_MAX, grantable, new_key
from services.auth.domain.code_limits import MAILED
from services.auth.domain.emails import EMAIL_MAX
from services.auth.domain.flow_tokens import LENGTH as TOKEN_LENGTH
from services.auth.domain.login_throttle import PLACES_SHOWN_MAX
from services.auth.domain.outbox import SHOWN_MAX
from services.auth.domain.sessions import CLIENT_NAME_MAX
from services.auth.domain.tokens import REFRESH_LENGTH
from services.auth.domain.totp import RECOVERY_CODES, RECOVERY_LENGTH
from services.auth.domain.webhook_secrets import new_secret
from services.auth.model import Purpose, Status
from services.auth.servicers.webhooks import DESCRIPTION_MAX as WEBHOOK_DESCRIPTION_MAX
from services.auth.store.api_keys import LISTED_MAX
from services.auth.store.sessions import SESSIONS_MAX
from services.auth.store.webhooks import BY_ADMINISTRATOR, WEBHOOKS_MAX
from services.commerce.domain.decode_picture import PICTURE_BYTES_MAX
from services.commerce.domain.pictures import PATH, TYPE
from services.commerce.domain.refunds import REFUNDS_MAX
from services.commerce.model import LINES_MAX, PRODUCT_NAME_MAX, CartProblem
from services.commerce.servicers.catalog import BATCH_MAX, BATCH_TEXT_BYTES_MAX, REASON_MAX
from services.commerce.servicers.order import TRACKING_MAX
from services.commerce.store import search_words
from services.common.vocabulary import (
    ADDRESS_MAX,
    BIO_MAX,
    COMPANY_MAX,
    COMPANY_SIZES,
    COURSE_MAX,
    DESCRIPTION_MAX,
    NAME_MAX,
    USER_ROLE_MAX,
    Role,
)
from services.kernel.audit.servicer import WORD_MAX
from services.kernel.events.servicer import SUBJECT_MAX, TYPES_MAX, URL_PREFIX
from services.kernel.paging import PAGE_BYTES_MAX, PAGE_SIZE_MAX, TOKEN_LENGTH_MAX
from services.kernel.rpc import interceptors, server
from services.kernel.sagas.servicer import KIND_MAX
from services.kernel.validation import URL_MAX
from services.profile.model import BRAND_TYPES, STATUSES
from services.profile.servicers.wallet import REFERENCE_MAX

# What every gRPC client takes that was told nothing else.
GRPC_DEFAULT_BYTES = 4 * 1024 * 1024
WIDEST = "\U0001f600"  # four bytes in UTF-8
UUID_LENGTH = 36
IP_LENGTH = 45
COUNTER_LENGTH = 10
REASON_LENGTH = max(map(len, error_pb.ErrorReason.keys()))
JWT_LENGTH = 1024
CURSOR_LENGTH = 18 + 1 + 8
PAYLOAD_LENGTH = 4096  # ids, and the names of the fields of one message
KEYS = 1000
FACTS = 10
# The tag and the length of a field that is a text or a message.
AROUND_BYTES = 6


def letters(length: int) -> str:
    return "x" * length


def text(length: int) -> str:
    return WIDEST * length


def longest(values: tuple[str, ...]) -> str:
    return max(values, key=len)


# Each text, by its message and field, or by its field alone.
TEXTS: Mapping[str, str] = {
    "id": letters(UUID_LENGTH),
    "user_id": letters(UUID_LENGTH),
    "product_id": letters(UUID_LENGTH),
    "category_id": letters(UUID_LENGTH),
    "seller_id": letters(UUID_LENGTH),
    "original_id": letters(UUID_LENGTH),
    "Shipment.product_ids": letters(UUID_LENGTH),
    "number": letters(8),
    "shipping_address": text(ADDRESS_MAX),
    "Transfer.actor": letters(len("user:") + UUID_LENGTH),
    "tracking": text(TRACKING_MAX),
    "Refund.reason": text(REASON_MAX),
    "flow_id": letters(UUID_LENGTH),
    "ResendCodeResponse.purpose": longest(tuple(Purpose)),
    "verification_flow_id": letters(UUID_LENGTH),
    "next_page_token": letters(TOKEN_LENGTH_MAX),
    "etag": letters(2 * COUNTER_LENGTH),
    "currency_code": letters(3),
    "Currency.code": letters(3),
    "email": text(EMAIL_MAX),
    "full_name": text(2 * NAME_MAX + 1),
    "first_name": text(NAME_MAX),
    "last_name": text(NAME_MAX),
    "display_name": text(2 * NAME_MAX + 1),
    "phone_number": letters(16),
    "address": text(ADDRESS_MAX),
    "bio": text(BIO_MAX),
    "course": text(COURSE_MAX),
    "description": text(DESCRIPTION_MAX),
    "avatar_url": text(URL_MAX),
    "website_url": text(URL_MAX),
    "logo_url": text(URL_MAX),
    "image_url": text(URL_MAX),
    "brand_type": longest(BRAND_TYPES),
    "company_size": longest(COMPANY_SIZES),
    "user_role": letters(USER_ROLE_MAX),
    "role": longest(tuple(Role)),
    "language": letters(2),
    "mfa_token": letters(TOKEN_LENGTH),
    "secret": letters(32),
    "otpauth_uri": letters(200) + 3 * text(EMAIL_MAX),
    "ConfirmTotpResponse.recovery_codes": letters(RECOVERY_LENGTH),
    "client_name": text(CLIENT_NAME_MAX),
    "Session.address": letters(IP_LENGTH),
    "Brand.name": text(COMPANY_MAX),
    "Category.name": text(NAME_MAX),
    "ProductCategory.name": text(NAME_MAX),
    "Product.name": text(PRODUCT_NAME_MAX),
    "OrderItem.name": text(PRODUCT_NAME_MAX),
    "Sale.name": text(PRODUCT_NAME_MAX),
    "order_id": letters(UUID_LENGTH),
    "Profile.status": longest(STATUSES),
    "User.status": longest(tuple(Status)),
    "failure_reason": letters(REASON_LENGTH),
    "refusal_reason": letters(REASON_LENGTH),
    "reference": text(REFERENCE_MAX),
    "token": letters(JWT_LENGTH),
    "refresh_token": letters(REFRESH_LENGTH),
    "Saga.kind": letters(KIND_MAX),
    "Saga.reason": letters(REASON_LENGTH),
    "SkippedItem.reason": letters(REASON_LENGTH),
    # The name of an exception and a reason.
    "last_error": letters(100 + REASON_LENGTH),
    "thumbnail_url": letters(len(PATH) + 64),
    "HttpBody.content_type": letters(len(TYPE)),
    "Any.type_url": "",
    "ListProductsResponse.suggestions": text(
        search_words.WORDS_MAX * (search_words._LENGTH_MAX + 1)
    ),
    "ApiKey.name": text(NAME_MAX),
    "ApiKey.scopes": longest(tuple(grantable())),
    "CheckApiKeyResponse.scopes": longest(tuple(grantable())),
    "CreateApiKeyResponse.key": new_key().written(),
    "api_key_id": letters(UUID_LENGTH),
    "Webhook.url": letters(URL_MAX),
    "Webhook.description": text(WEBHOOK_DESCRIPTION_MAX),
    "Webhook.types": letters(SUBJECT_MAX),
    "Webhook.disabled_reason": BY_ADMINISTRATOR,
    "CreateWebhookResponse.secret": new_secret(),
    "RotateWebhookSecretResponse.secret": new_secret(),
    "event_id": letters(UUID_LENGTH),
    "WebhookDelivery.type": letters(SUBJECT_MAX),
    "WebhookDelivery.subject": letters(SUBJECT_MAX),
    "AuditEvent.event": letters(WORD_MAX),
    "AuditEvent.account": letters(WORD_MAX),
    "AuditEvent.actor": letters(WORD_MAX),
    "AuditEvent.client_ip": letters(IP_LENGTH),
    "CodeCounter.purpose": longest(MAILED),
    "AuditFact.name": letters(WORD_MAX),
    "AuditFact.value": letters(REASON_MAX),
    "last_use_ip": letters(45),
    "Event.type": letters(SUBJECT_MAX),
    "Event.subject": letters(SUBJECT_MAX),
    "saga_id": letters(UUID_LENGTH),
    "trace_id": letters(32),
    "cursor": letters(CURSOR_LENGTH),
    "next_cursor": letters(CURSOR_LENGTH),
    "type_url": letters(len(URL_PREFIX) + SUBJECT_MAX),
    **{f"Jwk.{name}": letters(100) for name in ("kty", "crv", "x", "y", "kid", "use", "alg")},
}

LENGTHS: Mapping[str, int] = {
    "ListProfilesResponse.profiles": PAGE_SIZE_MAX,
    "ListUsersResponse.users": PAGE_SIZE_MAX,
    "ListEventsResponse.events": PAGE_SIZE_MAX,
    "WatchEventsResponse.events": PAGE_SIZE_MAX,
    "ListApiKeysResponse.api_keys": LISTED_MAX,
    "ListWebhooksResponse.webhooks": WEBHOOKS_MAX,
    "Webhook.types": TYPES_MAX,
    "ListWebhookDeliveriesResponse.deliveries": PAGE_SIZE_MAX,
    "ApiKey.scopes": SCOPES_MAX,
    "CheckApiKeyResponse.scopes": SCOPES_MAX,
    "ConfirmTotpResponse.recovery_codes": RECOVERY_CODES,
    "ListSessionsResponse.sessions": SESSIONS_MAX,
    "ListCategoriesResponse.categories": PAGE_SIZE_MAX,
    "ListProductsResponse.products": PAGE_SIZE_MAX,
    "ListProductsResponse.suggestions": search_words.SUGGESTIONS_MAX,
    "ListOrdersResponse.orders": PAGE_SIZE_MAX,
    "ListSalesResponse.sales": PAGE_SIZE_MAX,
    "ListWalletTransfersResponse.transfers": PAGE_SIZE_MAX,
    "ListSagasResponse.sagas": PAGE_SIZE_MAX,
    "ListAuditEventsResponse.audit_events": PAGE_SIZE_MAX,
    "AuditEvent.facts": FACTS,
    "UserAccess.sessions": SESSIONS_MAX,
    "UserAccess.places": PLACES_SHOWN_MAX,
    "UserAccess.codes": len(MAILED),
    "UserAccess.waiting_mail": SHOWN_MAX,
    "ListInvitationsResponse.invitations": PAGE_SIZE_MAX,
    "ListWaitingMailResponse.mails": PAGE_SIZE_MAX,
    "BatchCreateProductsResponse.products": BATCH_MAX,
    "BatchGetProductsResponse.products": PAGE_SIZE_MAX,
    "BatchGetBrandsResponse.brands": PAGE_SIZE_MAX,
    "MergeCartResponse.skipped": LINES_MAX,
    "HttpBody.extensions": 0,
    "Cart.items": LINES_MAX,
    "CartItem.problems": len(CartProblem),
    "Order.items": LINES_MAX,
    "Order.shipments": LINES_MAX,
    "Shipment.product_ids": LINES_MAX,
    "Shipment.items": LINES_MAX,
    # Those of each kind, and the one that cancels all that is left.
    "Order.refunds": 2 * REFUNDS_MAX + 1,
    "Refund.items": LINES_MAX,
    # An operator makes them by hand, and they go when their last token has expired.
    "GetJwksResponse.keys": KEYS,
}

BYTES: Mapping[str, int] = {"HttpBody.data": PICTURE_BYTES_MAX, "Any.value": PAYLOAD_LENGTH}

# `PageRows` ends these before they are full.
ENDING_EARLY = {"ListOrdersResponse", "ListProfilesResponse"}


def answers() -> Iterator[tuple[str, Descriptor]]:
    pool = descriptor_pool.DescriptorPool()
    for file in descriptors().file:
        pool.Add(file)
        for service in file.service:
            for method in service.method:
                answer = pool.FindMessageTypeByName(method.output_type.removeprefix("."))
                yield f"{service.name}.{method.name}", answer


ANSWERS = dict(answers())


def limit(limits: Mapping[str, Any], field: FieldDescriptor) -> Any:
    """Look a limit up: a field without one fails the test."""
    assert field.containing_type is not None
    name = f"{field.containing_type.name}.{field.name}"
    return limits[name] if name in limits or field.is_repeated else limits[field.name]


def largest(descriptor: Descriptor) -> Message:
    """Fill every field with the largest value that the limits allow."""
    message = GetMessageClass(descriptor)()
    for field in descriptor.fields:
        if field.is_repeated:
            getattr(message, field.name).extend([value(field)] * limit(LENGTHS, field))
        elif field.message_type is not None:
            getattr(message, field.name).CopyFrom(value(field))
        else:
            setattr(message, field.name, value(field))
    return message


def value(field: FieldDescriptor) -> Any:
    if field.message_type is not None:
        return largest(field.message_type)
    if field.enum_type is not None:
        return max(field.enum_type.values_by_number)
    if field.type == FieldDescriptor.TYPE_STRING:
        return limit(TEXTS, field)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return bytes(limit(BYTES, field))
    numbers = {
        FieldDescriptor.TYPE_BOOL: True,
        FieldDescriptor.TYPE_INT32: 2**31 - 1,
        FieldDescriptor.TYPE_INT64: 2**63 - 1,
    }
    return numbers[field.type]


def bytes_of(descriptor: Descriptor) -> int:
    """Return the size of the largest answer of a type."""
    if descriptor.name in ENDING_EARLY:
        return bytes_of_page(descriptor)
    if descriptor.name == "BatchCreateProductsResponse":
        return bytes_of_batch(descriptor)
    return largest(descriptor).ByteSize()


def bytes_of_page(descriptor: Descriptor) -> int:
    [rows] = [field for field in descriptor.fields if field.is_repeated]
    assert value(rows).ByteSize() < PAGE_BYTES_MAX
    page = largest(descriptor)
    page.ClearField(rows.name)
    return page.ByteSize() + PAGE_BYTES_MAX + AROUND_BYTES * PAGE_SIZE_MAX


def bytes_of_batch(descriptor: Descriptor) -> int:
    product: Message = value(descriptor.fields_by_name["products"])
    for name in ("name", "description", "image_url"):
        product.ClearField(name)
    batch = GetMessageClass(descriptor)(products=[product] * BATCH_MAX)
    return batch.ByteSize() + BATCH_TEXT_BYTES_MAX + 3 * AROUND_BYTES * BATCH_MAX


@pytest.mark.parametrize("rpc", ANSWERS)
def test_the_largest_answer_fits_into_what_every_client_takes(rpc: str) -> None:
    assert bytes_of(ANSWERS[rpc]) <= GRPC_DEFAULT_BYTES


def test_only_the_pages_that_would_be_too_large_end_earlier() -> None:
    too_large = {
        answer.name
        for answer in ANSWERS.values()
        if answer.name != "BatchCreateProductsResponse"
        and largest(answer).ByteSize() > GRPC_DEFAULT_BYTES
    }
    assert too_large == ENDING_EARLY


def test_servers_send_and_clients_take_more_than_servers_take() -> None:
    served, called = dict(server.OPTIONS), dict(channels.OPTIONS)
    sent = served["grpc.max_send_message_length"]
    assert sent == interceptors.ANSWER_BYTES_MAX == called["grpc.max_receive_message_length"]
    assert sent > served["grpc.max_receive_message_length"] >= GRPC_DEFAULT_BYTES
    assert called["grpc.max_send_message_length"] == served["grpc.max_receive_message_length"]
