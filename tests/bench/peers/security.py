"""Passwords and tokens, as the tutorial of FastAPI teaches them."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

import bcrypt
import jwt
from fastapi import Depends, HTTPException, status
from fastapi.concurrency import run_in_threadpool
from fastapi.security import OAuth2PasswordBearer

from tests.bench.peers.database import Session
from tests.bench.peers.models import Member

ALGORITHM = "HS256"
SECRET_KEY = os.environ["PEER_SECRET"]
TOKEN_LIFE = timedelta(minutes=30)
BCRYPT_COST = int(os.environ["PEER_BCRYPT_COST"])

oauth2_scheme = OAuth2PasswordBearer(tokenUrl="token")


async def hash_password(password: str) -> str:
    hashed = await run_in_threadpool(
        bcrypt.hashpw, password.encode(), bcrypt.gensalt(rounds=BCRYPT_COST)
    )
    return hashed.decode()


async def verify_password(password: str, hashed: str) -> bool:
    return await run_in_threadpool(bcrypt.checkpw, password.encode(), hashed.encode())


def create_access_token(user_id: UUID) -> str:
    claims = {"sub": str(user_id), "exp": datetime.now(UTC) + TOKEN_LIFE}
    return jwt.encode(claims, SECRET_KEY, algorithm=ALGORITHM)


async def get_current_member(
    token: Annotated[str, Depends(oauth2_scheme)], session: Session
) -> Member:
    refused = HTTPException(
        status.HTTP_401_UNAUTHORIZED,
        "Could not validate credentials",
        headers={"WWW-Authenticate": "Bearer"},
    )
    try:
        payload = jwt.decode(token, SECRET_KEY, algorithms=[ALGORITHM])
        member = await session.get(Member, UUID(payload["sub"]))
    except (jwt.InvalidTokenError, KeyError, ValueError) as error:
        raise refused from error
    if member is None:
        raise refused
    return member


CurrentMember = Annotated[Member, Depends(get_current_member)]
