"""The AuditService of each of our services: one servicer, which each process serves."""

from __future__ import annotations

from typing import Final

from google.protobuf.descriptor import ServiceDescriptor
from lockstep.auth.v1 import audit_service_pb2 as auth_pb
from lockstep.commerce.v1 import audit_service_pb2 as commerce_pb
from lockstep.profile.v1 import audit_service_pb2 as profile_pb

AUDIT_SERVICES: Final[dict[str, ServiceDescriptor]] = {
    name: messages.DESCRIPTOR.services_by_name["AuditService"]
    for name, messages in (("auth", auth_pb), ("profile", profile_pb), ("commerce", commerce_pb))
}
"""By the name of the service. Each has a path of its own over REST."""
