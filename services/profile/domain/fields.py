"""What the fields of profiles and brands have to look like."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from uuid import UUID

from services.kernel.errors import InvalidField
from services.kernel.ids import parse_id
from services.kernel.validation import (
    ADDRESS_MAX,
    BIO_MAX,
    COMPANY_MAX,
    DESCRIPTION_MAX,
    NAME_MAX,
    Problems,
)
from services.profile.model import BRAND_TYPES, COMPANY_SIZES

COURSE_MAX = 200
USER_ROLE_MAX = 50

Rule = Callable[[Problems, str, str], str | None]

_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_NIL = UUID(int=0)


def _text(
    wrong: Problems,
    value: str,
    field: str,
    *,
    longest: int,
    lines: bool = False,
    required: bool = False,
) -> str | None:
    return wrong.text(value, field, longest=longest, lines=lines, required=required)


def _slug(wrong: Problems, value: str, field: str) -> str | None:
    text = wrong.text(value, field, longest=USER_ROLE_MAX, required=True)
    if text is not None and not _SLUG.fullmatch(text):
        wrong.add(field, "must be a slug such as marketing-manager")
    return text


# The fields that can be changed, each with its rule: (problems, value, path) -> value.
PROFILE: Mapping[str, Rule] = MappingProxyType(
    {
        "first_name": partial(_text, longest=NAME_MAX),
        "last_name": partial(_text, longest=NAME_MAX),
        "phone_number": Problems.phone,
        "address": partial(_text, longest=ADDRESS_MAX, lines=True),
        "bio": partial(_text, longest=BIO_MAX, lines=True),
        "avatar_url": Problems.url,
        "course": partial(_text, longest=COURSE_MAX),
    }
)
BRAND: Mapping[str, Rule] = MappingProxyType(
    {
        "name": partial(_text, longest=COMPANY_MAX, required=True),
        "description": partial(_text, longest=DESCRIPTION_MAX, lines=True),
        "website_url": Problems.url,
        "logo_url": Problems.url,
        "brand_type": partial(Problems.choice, allowed=BRAND_TYPES),
        "company_size": partial(Problems.choice, allowed=COMPANY_SIZES, required=True),
        "user_role": _slug,
    }
)


def checked(
    wrong: Problems, rules: Mapping[str, Rule], values: Mapping[str, str], *, parent: str = ""
) -> dict[str, str | None]:
    """Return the values as they are kept, and note what is wrong with them."""
    return {name: rules[name](wrong, value, parent + name) for name, value in values.items()}


def identifier(wrong: Problems, text: str, field: str) -> UUID:
    """Read an id, or note that it is none."""
    try:
        return parse_id(text, field=field)
    except InvalidField as error:
        wrong.violations.extend(error.violations)
        return _NIL
