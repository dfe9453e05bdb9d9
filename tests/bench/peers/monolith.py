"""The peer: one FastAPI application on one database, written as its documentation teaches.

It is naive on purpose. Each request is one transaction of an ORM, which reads, changes and
writes. It locks no row, knows no idempotency key, and sends no mail.

    uvicorn tests.bench.peers.monolith:app
"""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import FastAPI, HTTPException, Query, status
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload, selectinload

from tests.bench.peers import schemas
from tests.bench.peers.database import Session
from tests.bench.peers.models import (
    Cart,
    CartItem,
    Member,
    Order,
    OrderItem,
    Product,
    Profile,
    Wallet,
)
from tests.bench.peers.security import (
    CurrentMember,
    create_access_token,
    hash_password,
    verify_password,
)

app = FastAPI()
LISTED = Product.delete_time.is_(None)
WITH_CATEGORY = joinedload(Product.category)


@app.get("/products/{product_id}")
async def get_product(product_id: UUID, session: Session) -> schemas.ProductOut:
    product = await session.scalar(
        select(Product).options(WITH_CATEGORY).where(Product.id == product_id, LISTED)
    )
    if product is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "There is no such product.")
    return schemas.ProductOut.model_validate(product)


@app.get("/products")
async def list_products(
    session: Session,
    page: Annotated[int, Query(ge=1)] = 1,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> schemas.ProductPage:
    total = await session.scalar(select(func.count()).select_from(Product).where(LISTED))
    products = await session.scalars(
        select(Product)
        .options(WITH_CATEGORY)
        .where(LISTED)
        .order_by(Product.create_time.desc(), Product.id.desc())
        .offset((page - 1) * limit)
        .limit(limit)
    )
    found = [schemas.ProductOut.model_validate(product) for product in products]
    return schemas.ProductPage(products=found, page=page, limit=limit, total=total or 0)


@app.get("/cart")
async def get_cart(member: CurrentMember, session: Session) -> schemas.CartOut:
    return schemas.CartOut.model_validate(await _cart(session, member.id))


@app.post("/cart/items")
async def add_cart_item(
    body: schemas.CartItemIn, member: CurrentMember, session: Session
) -> schemas.CartOut:
    product = await session.scalar(
        select(Product).options(WITH_CATEGORY).where(Product.id == body.product_id, LISTED)
    )
    if product is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "There is no such product.")
    cart = await _cart(session, member.id)
    for item in cart.items:
        if item.product_id == product.id:
            item.quantity += body.quantity
            break
    else:
        added = CartItem(
            product=product,
            position=len(cart.items),
            quantity=body.quantity,
            known_price=product.price,
        )
        cart.items.append(added)
    await session.commit()
    return schemas.CartOut.model_validate(cart)


@app.post("/register", status_code=status.HTTP_201_CREATED)
async def register(body: schemas.RegisterIn, session: Session) -> schemas.MemberOut:
    member = Member(
        email=body.email.lower(),
        password_hash=await hash_password(body.password),
        full_name=body.full_name,
        profile=Profile(phone_number=body.phone_number),
    )
    session.add(member)
    try:
        await session.flush()
        session.add(Wallet(user_id=member.id))
        await session.commit()
    except IntegrityError as error:
        raise HTTPException(status.HTTP_409_CONFLICT, "The account exists.") from error
    return schemas.MemberOut.model_validate(member)


@app.post("/login")
async def login(body: schemas.LoginIn, session: Session) -> schemas.Token:
    member = await session.scalar(select(Member).where(Member.email == body.email.lower()))
    if member is None or not await verify_password(body.password, member.password_hash):
        raise HTTPException(status.HTTP_401_UNAUTHORIZED, "Incorrect email or password.")
    return schemas.Token(access_token=create_access_token(member.id), user_id=member.id)


@app.post("/orders", status_code=status.HTTP_201_CREATED)
async def place_order(member: CurrentMember, session: Session) -> schemas.OrderOut:
    cart = await _cart(session, member.id)
    wallet = await session.get(Wallet, member.id)
    if not cart.items or wallet is None:
        raise HTTPException(status.HTTP_400_BAD_REQUEST, "The cart is empty.")
    order = Order(user_id=member.id, state="PAID", total=0, items=[])
    for position, item in enumerate(cart.items):
        product = item.product
        if product.stock < item.quantity:
            raise HTTPException(status.HTTP_409_CONFLICT, "There is not enough left.")
        product.stock -= item.quantity
        order.total += product.price * item.quantity
        ordered = OrderItem(
            position=position,
            product_id=product.id,
            name=product.name,
            quantity=item.quantity,
            unit_price=product.price,
        )
        order.items.append(ordered)
        await session.delete(item)
    if wallet.balance < order.total:
        raise HTTPException(status.HTTP_402_PAYMENT_REQUIRED, "The wallet has not enough.")
    wallet.balance -= order.total
    session.add(order)
    await session.commit()
    return schemas.OrderOut.model_validate(order)


async def _cart(session: AsyncSession, user_id: UUID) -> Cart:
    """Return the cart with its lines and their products; an empty one if there is none."""
    lines = selectinload(Cart.items).joinedload(CartItem.product).joinedload(Product.category)
    cart = await session.scalar(select(Cart).options(lines).where(Cart.user_id == user_id))
    if cart is None:
        cart = Cart(user_id=user_id, items=[])
        session.add(cart)
    return cart
