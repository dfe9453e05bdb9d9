"""The pairs of requests that meet in the schedules."""

from __future__ import annotations

from collections.abc import Iterator

from services.kernel.ids import new_id
from services.kernel.rpc.call import UserPrincipal
from tests.faults.accounts import ACCOUNT, Disabling, traces_of
from tests.faults.meeting import BY_FAULTS, MERGED, Meeting, Request
from tests.faults.orders import QUANTITY, TOTAL, Shopping
from tests.faults.registrations import SignUp
from tests.faults.scenario import Outcome, hmac_of
from tests.faults.world import PASSWORD_HASH

# --- one customer


class _OfCustomer(Meeting, Shopping):
    """Requests of a customer who has an account, a wallet, a cart and a paid order."""

    coordinator = "ac"

    role = "customer"

    def make_person(self) -> UserPrincipal:
        self.email = f"m{self.number}.{new_id().hex[-12:]}@example.com"
        self.flow = new_id()
        person = UserPrincipal(id=self.user, session_id=new_id(), role=self.role)
        ids = {
            "u": self.user,
            "session": person.session_id,
            "e": self.email,
            "f": self.flow,
            "saga": new_id(),
            "hmac": hmac_of(self.flow, self.email),
            "hash": PASSWORD_HASH,
        }
        for sql in ACCOUNT:
            self.world.ground.rows(sql, **ids)
        return person

    def in_the_end(self, outcome: Outcome) -> Iterator[str]:
        yield from super().in_the_end(outcome)
        now = traces_of(self.world, self.user, self.email)
        if now.status == "DELETING":
            yield "a user is DELETING for ever"
        if not now.users and any(now[2:]):
            yield f"something is left of a user: {now}"
        if "ok" in self.told("DeleteUser", outcome) and now.users:
            yield "the client was told ok, and the user is there"
        if now.users and not (now.profiles and now.wallets):
            yield "the user is there, and not everything of it"
        if self.told("DeleteUser", outcome) == {"fail"} and not now.users:
            yield "the deletion was refused, and the user is gone"


DELETE = Request("DeleteUser", {"CHECKOUT_IN_PROGRESS", "USER_NOT_FOUND"})
DELETE_BY_ADMIN = Request("DeleteUser", {"CHECKOUT_IN_PROGRESS", "USER_NOT_FOUND"}, by_admin=True)


class CancelAndDelete(_OfCustomer):
    """A paid order that is cancelled while its buyer is deleted."""

    name = "cancel+delete"
    paid = True
    first = Request("CancelOrder", {"SESSION_ENDED", "ORDER_NOT_FOUND"})
    other = DELETE

    def in_the_end(self, outcome: Outcome) -> Iterator[str]:
        yield from super().in_the_end(outcome)
        state = self.world.ground.one(
            "SELECT state FROM commerce.orders WHERE id = %(o)s", o=self.order
        ).state
        told = self.told("CancelOrder", outcome)
        if told == {"ok"} and state != "CANCELLED":
            yield f"the client was told ok, and the order is {state}"
        if told == {"fail"} and state != "PAID":
            yield f"the cancellation was refused, and the order is {state}"
        if told == self.told("DeleteUser", outcome) == {"fail"}:
            yield "both requests were refused"


class DeleteAndCancel(CancelAndDelete):
    """The same, the other way round."""

    name = "delete+cancel"
    first, other = CancelAndDelete.other, CancelAndDelete.first


class CancelByAdminAndDelete(CancelAndDelete):
    """An administrator cancels."""

    name = "cancel-by-admin+delete"
    first = Request("CancelOrder", {"ETAG_MISMATCH"}, by_admin=True)

    def always(self) -> Iterator[str]:
        # The order of a deleted user may be cancelled; the money then goes to suspense.
        if traces_of(self.world, self.user, self.email).wallets:
            yield from super().always()

    def in_the_end(self, outcome: Outcome) -> Iterator[str]:
        if traces_of(self.world, self.user, self.email).wallets:
            yield from super().in_the_end(outcome)
        elif self.look().open:
            yield "an order is unfinished for ever"


class CancelAndDeleteByAdmin(CancelAndDelete):
    """An administrator deletes."""

    name = "cancel+delete-by-admin"
    other = DELETE_BY_ADMIN


class CancelAndFulfil(_OfCustomer):
    """A paid order that is cancelled while it is shipped."""

    name = "cancel+fulfil"
    paid = True
    first = Request("CancelOrder", {"ILLEGAL_STATE"})
    other = Request("FulfilOrder", {"ILLEGAL_STATE"}, by_admin=True)

    def in_the_end(self, outcome: Outcome) -> Iterator[str]:
        yield from super().in_the_end(outcome)
        row = self.world.ground.one(
            "SELECT state, cancelled_quantity AS gone, shipment_id IS NOT NULL AS shipped"
            " FROM commerce.orders o JOIN commerce.order_items i ON i.order_id = o.id"
            " WHERE o.id = %(o)s",
            o=self.order,
        )
        if row.shipped and row.gone:
            yield "what is shipped was cancelled"
        if row.shipped != (row.state == "FULFILLED") or bool(row.gone) != (
            row.state == "CANCELLED"
        ):
            yield f"the order is {row.state}, and its line says {row}"
        if self.told("CancelOrder", outcome) == self.told("FulfilOrder", outcome) == {"ok"}:
            yield "both requests were told ok"


class FulfilAndCancel(CancelAndFulfil):
    """The same, the other way round."""

    name = "fulfil+cancel"
    first, other = CancelAndFulfil.other, CancelAndFulfil.first


class _Refunds(_OfCustomer):
    """Refunds of an order: what its lines say is what went back."""

    paid = True

    def always(self) -> Iterator[str]:
        # The order of a deleted user may be refunded; the money then goes to suspense.
        if traces_of(self.world, self.user, self.email).wallets:
            yield from super().always()

    def in_the_end(self, outcome: Outcome) -> Iterator[str]:
        if traces_of(self.world, self.user, self.email).wallets:
            yield from super().in_the_end(outcome)
        if self.look().open:
            yield "a refund is in flight for ever"
        row = self.world.ground.one(
            "SELECT count(*) AS refunds, coalesce(sum(amount), 0) AS amount,"
            " (SELECT sum((cancelled_quantity + returned_quantity) * unit_price)"
            " FROM commerce.order_items WHERE order_id = %(o)s) AS counted,"
            " (SELECT coalesce(sum(amount), 0) FROM profile.transfers WHERE kind = 'refund'"
            " AND original_id = %(d)s) AS given FROM commerce.refunds WHERE order_id = %(o)s",
            o=self.order,
            d=self.debit,
        )
        if not row.amount == row.counted == row.given:
            yield f"refunds of {row.amount}, lines of {row.counted}, and {row.given} went back"
        oks = sum(
            told.kind == "ok" and request.method in ("RefundOrder", "CancelOrder of a part")
            for request, told in self.outcomes(outcome)
        )
        if row.refunds < oks:
            yield f"{oks} were told ok, and there are {row.refunds} refunds"


class ReturnAndReturn(_Refunds):
    """Two returns of one order."""

    name = "return+return"
    shipped = True
    first = Request("RefundOrder", {"REFUND_IN_PROGRESS"}, by_admin=True)
    other = first


class PartAndPart(_Refunds):
    """Two cancellations of parts of one order."""

    name = "part+part"
    first = Request("CancelOrder of a part", {"REFUND_IN_PROGRESS"})
    other = first


class PartAndCancel(_Refunds):
    """All of an order is cancelled while a part of it is."""

    name = "part+cancel"
    first = Request("CancelOrder of a part", {"REFUND_IN_PROGRESS", "INVALID_FIELD"})
    other = Request("CancelOrder", {"REFUND_IN_PROGRESS"})


class ReturnAndDelete(_Refunds):
    """A return while the buyer is deleted."""

    name = "return+delete"
    shipped = True
    first = Request("RefundOrder", {"ETAG_MISMATCH"}, by_admin=True)
    other = DELETE


class DeleteAndReturn(ReturnAndDelete):
    """The same, the other way round."""

    name = "delete+return"
    first, other = ReturnAndDelete.other, ReturnAndDelete.first


class FulfilAndDelete(_Refunds):
    """An order that is shipped while its buyer is deleted."""

    name = "fulfil+delete"
    first = Request("FulfilOrder", {"ETAG_MISMATCH"}, by_admin=True)
    other = DELETE


class _OfSeller(_Refunds):
    """Requests about an order while its seller is deleted."""

    has_seller = False  # what is pending goes to suspense with the seller

    def make_person(self) -> UserPrincipal:
        # The seller is the one who has an account; the buyer has a wallet alone.
        self.user, self.buyer = self.seller, self.user
        return super().make_person()

    def in_the_end(self, outcome: Outcome) -> Iterator[str]:
        yield from super().in_the_end(outcome)
        left = self.world.ground.rows(
            "SELECT FROM commerce.order_items i, commerce.forgotten_users f"
            " WHERE i.seller_id = f.user_id"
        )
        if left:
            yield "a line of a seller who was forgotten names the seller"


class FulfilAndDeleteOfSeller(_OfSeller):
    """An order that is shipped while its seller is deleted."""

    name = "fulfil+delete-of-seller"
    first = Request("FulfilOrder", by_admin=True)
    other = DELETE


class PartAndDeleteOfSeller(_OfSeller):
    """A part of an order that is cancelled while its seller is deleted."""

    name = "part+delete-of-seller"
    first = Request("CancelOrder of a part", by_admin=True)
    other = DELETE


class ReturnAndDeleteOfSeller(_OfSeller):
    """A return while the seller is deleted."""

    name = "return+delete-of-seller"
    shipped = True
    first = Request("RefundOrder", {"INSUFFICIENT_FUNDS"}, by_admin=True)
    other = DELETE


class ReturnAndFulfil(_Refunds):
    """A return of what is just shipped: its share may be on its way."""

    name = "fulfil+return"
    first = Request("FulfilOrder", by_admin=True)
    other = Request("RefundOrder", {"ILLEGAL_STATE"}, by_admin=True)


class CheckoutAndDelete(_OfCustomer):
    """An order that is placed while its buyer is deleted."""

    name = "checkout+delete"
    # Commerce keeps the ids of forgotten users for longer than a token lives. Where a schedule
    # lets those rows age, a token that is still valid finds an empty cart.
    first = Request("PlaceOrder", {"SESSION_ENDED"}, refusals_when_aged={"CART_EMPTY"})
    other = DELETE

    def in_the_end(self, outcome: Outcome) -> Iterator[str]:
        yield from super().in_the_end(outcome)
        now = self.look()
        if self.told("PlaceOrder", outcome) == {"ok"} and not now.paid:
            yield "the client was told ok, and there is no paid order"
        if self.told("PlaceOrder", outcome) == {"fail"} and now.paid:
            yield "the order was refused, and there is a paid one"


class DeleteAndCheckout(CheckoutAndDelete):
    """The same, the other way round."""

    name = "delete+checkout"
    first, other = CheckoutAndDelete.other, CheckoutAndDelete.first


class MergeAndCheckout(_OfCustomer):
    """A cart of a guest that is merged into a cart while that is ordered."""

    name = "merge+checkout"
    first = Request("MergeCart")
    other = Request("PlaceOrder")

    def in_the_end(self, outcome: Outcome) -> Iterator[str]:
        yield from super().in_the_end(outcome)
        now = self.look()
        if self.told("PlaceOrder", outcome) == {"ok"} and now.paid != TOTAL:
            yield f"the client was told ok, and {now.paid} are paid"
        if self.told("PlaceOrder", outcome) == {"fail"} and now.paid:
            yield "the order was refused, and there is a paid one"
        # What was ordered has left the cart, and what was merged after it has not.
        if now.cart not in ((0, MERGED) if now.paid else (QUANTITY,)):
            yield f"{now.cart} are in the cart, and {now.paid} are paid"


class CheckoutAndMerge(MergeAndCheckout):
    """The same, the other way round."""

    name = "checkout+merge"
    first, other = MergeAndCheckout.other, MergeAndCheckout.first


class DeleteAndDelete(_OfCustomer):
    """Two deletions: by the user and by an administrator."""

    name = "delete+delete"
    paid = True
    first = DELETE
    other = DELETE_BY_ADMIN


class ProductAndDelete(_OfCustomer):
    """A product that is made while its brand is deleted."""

    name = "product+delete"
    paid = True
    role = "brand"
    first = Request("CreateProduct", {"SESSION_ENDED"})
    other = DELETE

    def always(self) -> Iterator[str]:
        left = self.world.ground.rows(
            "SELECT 1 FROM commerce.forgotten_users f JOIN commerce.users u USING (user_id)"
            " WHERE user_id = %(u)s",
            u=self.user,
        )
        if left:
            yield "a forgotten brand can be locked"

    def in_the_end(self, outcome: Outcome) -> Iterator[str]:
        yield from super().in_the_end(outcome)
        made = self.world.ground.rows(
            "SELECT delete_time, seller_id FROM commerce.products WHERE name = %(n)s",
            n=f"Lamp {self.number}",
        )
        is_gone = self.told("DeleteUser", outcome) == {"ok"}
        if is_gone and any(row.seller_id or not row.delete_time for row in made):
            yield "a product of a deleted brand is in the catalog"
        if self.told("CreateProduct", outcome) == {"ok"} and len(made) != 1:
            yield f"the client was told ok, and there are {len(made)} products"
        if self.told("CreateProduct", outcome) == {"fail"} and made:
            yield "the product was refused, and it is there"


class DeleteAndProduct(ProductAndDelete):
    """The same, the other way round."""

    name = "delete+product"
    first, other = ProductAndDelete.other, ProductAndDelete.first


# --- one account


class DisableAndVerify(Meeting, Disabling):
    """An account that is disabled while its address is confirmed."""

    name = "disable+verify"
    first = Request("DisableUser", by_admin=True)
    other = Request("VerifyEmail", {"OTP_INVALID"})

    def in_the_end(self, outcome: Outcome) -> Iterator[str]:
        now = self.rows()
        usual = "active" if now.verified else "pending"
        if now.profile != ("suspended" if now.status == "DISABLED" else usual):
            yield "user and profile do not agree"
        if self.told("VerifyEmail", outcome) == {"ok"} and not now.verified:
            yield "the client was told ok, and nothing is confirmed"
        if self.told("VerifyEmail", outcome) == {"fail"} and now.verified:
            yield "the code was refused, and the address is confirmed"
        if self.told("DisableUser", outcome) == {"ok"} and now.status != "DISABLED":
            yield f"the client was told ok, and the user is {now.status}"


class VerifyAndDisable(DisableAndVerify):
    """The same, the other way round."""

    name = "verify+disable"
    first, other = DisableAndVerify.other, DisableAndVerify.first


class _OfAddress(Meeting, SignUp):
    """Requests about an address that is being registered."""

    def in_the_end(self, outcome: Outcome) -> Iterator[str]:
        rows = self.rows()
        if any(row.status == "PENDING" for row in rows):
            yield "a user is PENDING for ever"
        if len(rows) > 1:
            yield "there are two accounts"
        for request, told in self.outcomes(outcome):
            is_account = request.method in ("Register", "VerifyOtp")
            if is_account and told.kind == "ok" and not rows:
                yield f"{request.method} was told ok, and there is no account"
            if told.kind == "fail" and told.reason not in {*request.refusals, *BY_FAULTS}:
                yield f"{request.method} was told {told.reason}"


_TAKEN = {"EMAIL_TAKEN", "PHONE_TAKEN"}


class RegisterAndReset(_OfAddress):
    """Somebody asks for a new password of an account that is being made."""

    name = "register+reset"
    first = Request("Register")
    other = Request("RequestPasswordReset", {"TOO_MANY_REQUESTS"})


class SignUpAndRegister(_OfAddress):
    """One address, registered in both ways at once."""

    name = "sign-up+register"
    first = Request("VerifyOtp", {*_TAKEN, "OTP_INVALID"})
    other = Request("Register", _TAKEN)

    def in_the_end(self, outcome: Outcome) -> Iterator[str]:
        yield from super().in_the_end(outcome)
        kinds = [told.kind for _, told in self.outcomes(outcome)]
        if kinds == ["ok", "ok"]:
            yield "both were told that the account is theirs"


class RegisterAndSignUp(SignUpAndRegister):
    """The same, the other way round."""

    name = "register+sign-up"
    first, other = SignUpAndRegister.other, SignUpAndRegister.first


MEETINGS: tuple[type[Meeting], ...] = (
    CancelAndFulfil,
    FulfilAndCancel,
    ReturnAndReturn,
    PartAndPart,
    PartAndCancel,
    ReturnAndDelete,
    DeleteAndReturn,
    FulfilAndDelete,
    FulfilAndDeleteOfSeller,
    PartAndDeleteOfSeller,
    ReturnAndDeleteOfSeller,
    ReturnAndFulfil,
    CancelAndDelete,
    DeleteAndCancel,
    CancelByAdminAndDelete,
    CancelAndDeleteByAdmin,
    CheckoutAndDelete,
    DeleteAndCheckout,
    MergeAndCheckout,
    CheckoutAndMerge,
    DeleteAndDelete,
    ProductAndDelete,
    DeleteAndProduct,
    DisableAndVerify,
    VerifyAndDisable,
    RegisterAndReset,
    SignUpAndRegister,
    RegisterAndSignUp,
)
