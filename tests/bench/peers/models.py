"""The tables of the monolith: those of Commerce, and people with profiles and wallets."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import BigInteger, DateTime, ForeignKey, func
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Base(DeclarativeBase):
    """What is in the one database."""

    type_annotation_map = {datetime: DateTime(timezone=True)}  # noqa: RUF012 - SQLAlchemy's form


class Category(Base):
    __tablename__ = "categories"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]


class Product(Base):
    __tablename__ = "products"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    category_id: Mapped[UUID] = mapped_column(ForeignKey("categories.id"))
    seller_id: Mapped[UUID | None]
    name: Mapped[str]
    description: Mapped[str]
    price: Mapped[int] = mapped_column(BigInteger)
    stock: Mapped[int]
    image_url: Mapped[str]
    thumbnail_url: Mapped[str]
    create_time: Mapped[datetime]
    update_time: Mapped[datetime]
    delete_time: Mapped[datetime | None]
    category: Mapped[Category] = relationship(lazy="raise")


class Cart(Base):
    __tablename__ = "carts"

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    items: Mapped[list[CartItem]] = relationship(lazy="raise", order_by="CartItem.position")


class CartItem(Base):
    __tablename__ = "cart_items"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("carts.user_id"), primary_key=True)
    product_id: Mapped[UUID] = mapped_column(ForeignKey("products.id"), primary_key=True)
    position: Mapped[int]
    quantity: Mapped[int]
    known_price: Mapped[int] = mapped_column(BigInteger)
    product: Mapped[Product] = relationship(lazy="raise")


class Order(Base):
    __tablename__ = "orders"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    user_id: Mapped[UUID]
    state: Mapped[str]
    total: Mapped[int] = mapped_column(BigInteger)
    debit_id: Mapped[UUID] = mapped_column(default=uuid4)
    create_time: Mapped[datetime] = mapped_column(server_default=func.now())
    items: Mapped[list[OrderItem]] = relationship(lazy="raise", order_by="OrderItem.position")


class OrderItem(Base):
    __tablename__ = "order_items"

    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    product_id: Mapped[UUID] = mapped_column(ForeignKey("products.id"))
    name: Mapped[str]
    quantity: Mapped[int]
    unit_price: Mapped[int] = mapped_column(BigInteger)


class Member(Base):
    """A user; Commerce's own table of this name has ids alone."""

    __tablename__ = "members"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    email: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[str]
    full_name: Mapped[str]
    create_time: Mapped[datetime] = mapped_column(server_default=func.now())
    profile: Mapped[Profile] = relationship(lazy="raise")


class Profile(Base):
    __tablename__ = "profiles"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("members.id"), primary_key=True)
    phone_number: Mapped[str | None] = mapped_column(unique=True)
    status: Mapped[str] = mapped_column(default="pending")
    create_time: Mapped[datetime] = mapped_column(server_default=func.now())


class Wallet(Base):
    __tablename__ = "wallets"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("members.id"), primary_key=True)
    balance: Mapped[int] = mapped_column(BigInteger, default=0)
