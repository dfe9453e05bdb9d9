"""A client that sends exactly the bytes of a test."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

SECONDS_MAX = 60  # a limit that only what hangs exceeds


@dataclass
class Answer:
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def reason(self) -> str:
        """The reason in the ErrorInfo of a failure."""
        return next(str(each["reason"]) for each in self.json["details"] if "reason" in each)

    @property
    def fields(self) -> dict[str, str]:
        """The wrong fields of a failure."""
        return {
            violation["field"]: violation["description"]
            for detail in self.json["details"]
            for violation in detail.get("fieldViolations", ())
        }


class Client:
    """A client of one port. `send` writes one request and reads one answer."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def get(self, target: str, **headers: str) -> Answer:
        return await self.send("GET", target, headers=headers)

    async def post(self, target: str, body: Any = None, **headers: str) -> Answer:
        return await self.send("POST", target, body, headers=headers)

    async def send(
        self,
        method: str,
        target: str,
        body: Any = None,
        *,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        content = body if isinstance(body, bytes) else b""
        if body is not None and not isinstance(body, bytes):
            content = json.dumps(body).encode()
        lines = {
            "Host": "localhost",
            **{k.replace("_", "-"): v for k, v in (headers or {}).items()},
        }
        if content:
            lines.setdefault("Content-Type", "application/json")
        if content or method in ("POST", "PATCH", "PUT"):
            lines["Content-Length"] = str(len(content))
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return await self.raw(
            f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode() + content, method
        )

    async def raw(self, data: bytes, method: str = "GET") -> Answer:
        async with asyncio.timeout(SECONDS_MAX):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                writer.write(data)
                return await read_answer(reader, method)
            finally:
                writer.close()


async def read_answer(reader: asyncio.StreamReader, method: str = "GET") -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    lines = (line.partition(":") for line in head[1:] if line)
    answer = Answer(
        int(head[0].split(" ")[1]), {name.lower(): value.strip() for name, _, value in lines}
    )
    if "chunked" in answer.headers.get("transfer-encoding", ""):
        answer.body = await _read_chunks(reader)
    elif method != "HEAD":
        answer.body = await reader.readexactly(int(answer.headers.get("content-length", 0)))
    return answer


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    out = b""
    while size := int(await reader.readline(), 16):
        out += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return out
