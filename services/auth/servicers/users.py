"""AuthService: shows users, and changes their status and role."""

from __future__ import annotations

from dataclasses import dataclass

from lockstep.auth.v1 import auth_service_pb2 as auth_pb

from services.auth.domain.ip_limits import client_ip_of
from services.auth.servicers.access_messages import access_message
from services.auth.servicers.messages import read_account, user_message
from services.auth.servicers.user_filters import read_user_filters
from services.auth.usecases.change_role import ChangeRole
from services.auth.usecases.delete_user import DeleteUser
from services.auth.usecases.disable_user import DisableUser
from services.auth.usecases.enable_user import EnableUser
from services.auth.usecases.get_user import GetUser
from services.auth.usecases.get_user_access import GetUserAccess
from services.auth.usecases.list_users import ListUsers
from services.auth.usecases.resend_code import ResendCode
from services.auth.usecases.unlock_user import UnlockUser
from services.common.vocabulary import Role
from services.kernel.paging import page_size
from services.kernel.rpc.call import Call, UserPrincipal
from services.kernel.rpc.timestamps import timestamp
from services.kernel.validation import Violations


@dataclass(frozen=True, slots=True, kw_only=True)
class UserServicer:
    """Shows users, and changes their status and role."""

    get_user: GetUser
    list_users: ListUsers
    disable_user: DisableUser
    enable_user: EnableUser
    delete_user: DeleteUser
    change_role: ChangeRole
    resend_code: ResendCode
    unlock_user: UnlockUser
    get_user_access: GetUserAccess

    async def GetUser(self, request: auth_pb.GetUserRequest, call: Call) -> auth_pb.User:
        """Get a user."""
        with Violations() as v:
            user_id = v.user_id(request.user_id, "user_id", me=call.caller.own_id)
        return user_message(await self.get_user(caller=call.caller, user_id=user_id))

    async def ListUsers(
        self, request: auth_pb.ListUsersRequest, call: Call
    ) -> auth_pb.ListUsersResponse:
        """List users."""
        with Violations() as v:
            filters = read_user_filters(v, request)
            size = page_size(request.page_size)
        users, token = await self.list_users(filters, size=size, page_token=request.page_token)
        return auth_pb.ListUsersResponse(
            users=[user_message(user) for user in users], next_page_token=token
        )

    async def DisableUser(self, request: auth_pb.DisableUserRequest, call: Call) -> auth_pb.User:
        """Disable an account."""
        with Violations() as v:
            user_id = v.uuid(request.user_id, "user_id")
        user = await self.disable_user(
            caller=call.caller, user_id=user_id, client_ip=client_ip_of(call)
        )
        return user_message(user)

    async def EnableUser(self, request: auth_pb.EnableUserRequest, call: Call) -> auth_pb.User:
        """Enable a disabled account."""
        with Violations() as v:
            user_id = v.uuid(request.user_id, "user_id")
        user = await self.enable_user(
            caller=call.caller, user_id=user_id, client_ip=client_ip_of(call)
        )
        return user_message(user)

    async def DeleteUser(
        self, request: auth_pb.DeleteUserRequest, call: Call
    ) -> auth_pb.DeleteUserResponse:
        """Erase an account."""
        with Violations() as v:
            user_id = v.user_id(request.user_id, "user_id", me=call.caller.own_id)
        await self.delete_user(
            caller=call.caller,
            user_id=user_id,
            forfeits_balance=request.forfeit_balance,
            client_ip=client_ip_of(call),
        )
        return auth_pb.DeleteUserResponse()

    async def PromoteUser(self, request: auth_pb.PromoteUserRequest, call: Call) -> auth_pb.User:
        """Make a user an administrator."""
        return await self._changed(request, Role.ADMIN, call)

    async def DemoteUser(self, request: auth_pb.DemoteUserRequest, call: Call) -> auth_pb.User:
        """Make an administrator a customer."""
        return await self._changed(request, Role.CUSTOMER, call)

    async def ResendCode(
        self, request: auth_pb.ResendCodeRequest, call: Call
    ) -> auth_pb.ResendCodeResponse:
        """Mail a new code for the newest open flow of an account."""
        with Violations() as v:
            account = read_account(v, request)
        sent = await self.resend_code(account, actor=call.actor, client_ip=client_ip_of(call))
        return auth_pb.ResendCodeResponse(
            purpose=sent.purpose, expire_time=timestamp(sent.expire_time)
        )

    async def UnlockUser(self, request: auth_pb.UnlockUserRequest, call: Call) -> auth_pb.User:
        """Clear the counters of an account."""
        with Violations() as v:
            account = read_account(v, request)
        user = await self.unlock_user(account, actor=call.actor, client_ip=client_ip_of(call))
        return user_message(user)

    async def GetUserAccess(
        self, request: auth_pb.GetUserAccessRequest, call: Call
    ) -> auth_pb.UserAccess:
        """Show how an account stands."""
        with Violations() as v:
            account = read_account(v, request)
        found = await self.get_user_access(account)
        return access_message(found, own_session=call.caller.own_session_id)

    async def _changed(
        self,
        request: auth_pb.PromoteUserRequest | auth_pb.DemoteUserRequest,
        role: Role,
        call: Call,
    ) -> auth_pb.User:
        with Violations() as v:
            account = read_account(v, request)
        caller = call.principal if isinstance(call.principal, UserPrincipal) else None
        user = await self.change_role(
            account, role, caller=caller, actor=call.actor, client_ip=client_ip_of(call)
        )
        return user_message(user)
