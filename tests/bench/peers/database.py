"""The monolith's engine and sessions, as the documentation of SQLAlchemy teaches them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

engine = create_async_engine(os.environ["PEER_DATABASE_URL"])
make_session = async_sessionmaker(engine, expire_on_commit=False)


async def session() -> AsyncIterator[AsyncSession]:
    async with make_session() as opened:
        yield opened


Session = Annotated[AsyncSession, Depends(session)]
