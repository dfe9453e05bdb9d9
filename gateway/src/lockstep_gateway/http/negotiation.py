"""Content negotiation: media types, compression, entity tags (RFC 9110)."""

from __future__ import annotations

import re
from typing import Final

JSON: Final = "application/json"
PROBLEM: Final = "application/problem+json"
LINES: Final = "application/x-ndjson"
EVENTS: Final = "text/event-stream"

_RANGES: Final = {
    JSON: (JSON, "application/*", "*/*"),
    PROBLEM: (PROBLEM,),
    LINES: (LINES, JSON, "application/*", "*/*"),
    EVENTS: (EVENTS,),
}
_QUALITY = re.compile(r"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)", re.IGNORECASE)
# RFC 9110 8.3.1: a type, a subtype, and parameters.
_MEDIA_TYPE = re.compile(
    r"[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:[ \t]*;[ -~]*)?"
)
_JSON_TYPE = re.compile(r"application/(?:[a-z0-9.!#$&^_-]+\+)?json", re.IGNORECASE)
ENTITY_TAG: Final = r'(?:W/)?"[\x21\x23-\x7e]*"'

_ENTITY_TAG = re.compile(ENTITY_TAG)
_TAG_TEXT = re.compile(r"[\x21\x23-\x7e]+")


def accepts(accept: str) -> tuple[bool, bool]:
    """Read `Accept`: whether it allows JSON, and whether it prefers problem details."""
    if accept in ("", "*/*", JSON):
        return True, False
    wanted = _qualities(accept)
    json_quality = _quality(wanted, JSON)
    problem_quality = _quality(wanted, PROBLEM)
    is_problem = problem_quality > 0 and problem_quality >= json_quality
    return json_quality > 0 or is_problem, is_problem


def accepts_stream(accept: str) -> tuple[bool, bool]:
    """Read `Accept`: whether it allows a stream of messages, and whether it asks for events.

    A client that takes JSON also takes a line of JSON for each message.
    """
    if accept in ("", "*/*", JSON, LINES):
        return True, False
    wanted = _qualities(accept)
    lines_quality = _quality(wanted, LINES)
    events_quality = _quality(wanted, EVENTS)
    is_events = events_quality > 0 and events_quality >= lines_quality
    return lines_quality > 0 or is_events, is_events


def accepts_gzip(accept_encoding: str) -> bool:
    """Read `Accept-Encoding`: whether it names gzip."""
    return _qualities(accept_encoding).get("gzip", 0.0) > 0


def is_json(content_type: str) -> bool:
    """Tell whether a body of this `Content-Type` is JSON in UTF-8."""
    essence, _, parameters = content_type.partition(";")
    if not _JSON_TYPE.fullmatch(essence.strip()):
        return False
    charset = re.search(r"charset\s*=\s*\"?([^\s\";]+)", parameters, re.IGNORECASE)
    return charset is None or charset[1].lower() in ("utf-8", "utf8", "us-ascii")


def is_media_type(content_type: str) -> bool:
    """Tell whether a text is a media type, with parameters or without."""
    return _MEDIA_TYPE.fullmatch(content_type) is not None


def entity_tag(text: str) -> str:
    """Write a resource's etag as the value of `ETag`; "" if it cannot be one."""
    if _ENTITY_TAG.fullmatch(text):
        return text
    return f'"{text}"' if _TAG_TEXT.fullmatch(text) else ""


def none_match(if_none_match: str, tag: str) -> bool:
    """Tell whether `If-None-Match` names this tag (weak comparison)."""
    if if_none_match.strip() == "*":
        return True
    known = _ENTITY_TAG.findall(if_none_match)
    return tag.removeprefix("W/") in {each.removeprefix("W/") for each in known}


def _qualities(header: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for part in header.lower().split(","):
        name, *parameters = (each.strip() for each in part.split(";"))
        quality = 1.0
        for parameter in parameters:
            match = _QUALITY.fullmatch(parameter)
            if match is not None:
                quality = float(match[1])
        if name:
            found[name] = quality
    return found


def _quality(wanted: dict[str, float], media_type: str) -> float:
    for media_range in _RANGES[media_type]:
        if media_range in wanted:
            return wanted[media_range]
    return 0.0
