"""The bodies of the monolith's requests and answers."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, EmailStr, Field


class FromRow(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class CategoryOut(FromRow):
    id: UUID
    name: str


class ProductOut(FromRow):
    id: UUID
    category_id: UUID
    category: CategoryOut
    seller_id: UUID | None
    name: str
    description: str
    price: int
    stock: int
    image_url: str
    thumbnail_url: str
    create_time: datetime
    update_time: datetime


class ProductPage(BaseModel):
    products: list[ProductOut]
    page: int
    limit: int
    total: int


class CartItemIn(BaseModel):
    product_id: UUID
    quantity: int = Field(ge=1, le=9999)


class CartItemOut(FromRow):
    product: ProductOut
    quantity: int


class CartOut(FromRow):
    user_id: UUID
    items: list[CartItemOut]


class RegisterIn(BaseModel):
    email: EmailStr
    password: str = Field(min_length=8, max_length=72)
    full_name: str = Field(min_length=1, max_length=200)
    phone_number: str | None = None


class LoginIn(BaseModel):
    email: EmailStr
    password: str


class Token(BaseModel):
    access_token: str
    user_id: UUID
    token_type: str = "bearer"


class ProfileOut(FromRow):
    phone_number: str | None
    status: str


class MemberOut(FromRow):
    id: UUID
    email: str
    full_name: str
    create_time: datetime
    profile: ProfileOut


class OrderItemOut(FromRow):
    product_id: UUID
    name: str
    quantity: int
    unit_price: int


class OrderOut(FromRow):
    id: UUID
    state: str
    total: int
    create_time: datetime
    items: list[OrderItemOut]
