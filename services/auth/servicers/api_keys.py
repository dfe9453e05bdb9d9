"""ApiKeyService on the wire: each method reads a request, runs a use case and answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from lockstep.auth.v1 import api_key_service_pb2 as api_key_pb

from services.auth.domain.api_keys import check_days, check_scopes
from services.auth.domain.collaborators import Collaborators
from services.auth.domain.ip_limits import client_ip_of
from services.auth.servicers.messages import require
from services.auth.store.api_keys import ListedKey
from services.auth.usecases.check_api_key import CheckApiKey
from services.auth.usecases.create_api_key import CreateApiKey
from services.auth.usecases.end_api_key import EndApiKey
from services.auth.usecases.list_api_keys import ListApiKeys
from services.common.vocabulary import NAME_MAX
from services.kernel.rpc.call import Call
from services.kernel.rpc.timestamps import timestamp
from services.kernel.validation import Violations

API_KEYS = api_key_pb.DESCRIPTOR.services_by_name["ApiKeyService"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeyServicer:
    """Serves ApiKeyService."""

    create_api_key: CreateApiKey
    list_api_keys: ListApiKeys
    end_api_key: EndApiKey
    check_api_key: CheckApiKey

    @classmethod
    def of(cls, shared: Collaborators) -> Self:
        """Put the use cases of ApiKeyService together."""
        return cls(
            create_api_key=CreateApiKey(shared.database, shared.audit),
            list_api_keys=ListApiKeys(shared.database),
            end_api_key=EndApiKey(shared.database, shared.audit),
            check_api_key=CheckApiKey(shared.api_keys),
        )

    async def CreateApiKey(
        self, request: api_key_pb.CreateApiKeyRequest, call: Call
    ) -> api_key_pb.CreateApiKeyResponse:
        """Make an API key."""
        with Violations() as v:
            user_id = v.user_id(request.user_id, "user_id", me=call.user.id)
            name = v.text(request.name, "name", max_length=NAME_MAX, required=True)
            scopes = check_scopes(v, list(request.scopes), "scopes")
            life = check_days(v, request.days, "days")
        made = await self.create_api_key(
            caller=call.user,
            user_id=user_id,
            name=name,
            scopes=scopes,
            life=life,
            client_ip=client_ip_of(call),
        )
        return api_key_pb.CreateApiKeyResponse(api_key=_message(made.listed), key=made.text)

    async def ListApiKeys(
        self, request: api_key_pb.ListApiKeysRequest, call: Call
    ) -> api_key_pb.ListApiKeysResponse:
        """List the API keys of an account."""
        with Violations() as v:
            user_id = v.user_id(request.user_id, "user_id", me=call.caller.own_id)
        found = await self.list_api_keys(caller=call.caller, user_id=user_id)
        return api_key_pb.ListApiKeysResponse(api_keys=map(_message, found))

    async def EndApiKey(
        self, request: api_key_pb.EndApiKeyRequest, call: Call
    ) -> api_key_pb.EndApiKeyResponse:
        """End an API key."""
        with Violations() as v:
            user_id = v.user_id(request.user_id, "user_id", me=call.caller.own_id)
            key_id = v.uuid(request.api_key_id, "api_key_id")
        await self.end_api_key(
            caller=call.caller, user_id=user_id, key_id=key_id, client_ip=client_ip_of(call)
        )
        return api_key_pb.EndApiKeyResponse()

    async def CheckApiKey(
        self, request: api_key_pb.CheckApiKeyRequest, call: Call
    ) -> api_key_pb.CheckApiKeyResponse:
        """Say whether an API key is good."""
        with Violations() as v:
            require(v, request.key, "key")
        key = await self.check_api_key(request.key, client_ip=request.client_ip)
        if key is None:
            return api_key_pb.CheckApiKeyResponse()
        return api_key_pb.CheckApiKeyResponse(
            active=True,
            api_key_id=str(key.id),
            user_id=str(key.user_id),
            role=key.role,
            scopes=sorted(key.scopes),
            mfa_missing=key.lacks_mfa,
        )


def _message(key: ListedKey) -> api_key_pb.ApiKey:
    return api_key_pb.ApiKey(
        id=str(key.id),
        name=key.name,
        scopes=key.scopes,
        create_time=timestamp(key.create_time),
        expire_time=timestamp(key.expire_time),
        last_use_time=None if key.last_use_time is None else timestamp(key.last_use_time),
        last_use_ip=key.last_use_ip or "",
        second_factor=key.has_second_factor,
    )
