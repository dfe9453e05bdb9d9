"""The form of each field of profiles and brands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from services.common.vocabulary import (
    ADDRESS_MAX,
    BIO_MAX,
    COMPANY_MAX,
    COMPANY_SIZES,
    COURSE_MAX,
    DESCRIPTION_MAX,
    NAME_MAX,
    phone,
    user_role,
)
from services.kernel.validation import Violations
from services.profile.model import BRAND_TYPES

Rule = Callable[[Violations, str, str], str | None]


# The fields that a user can change, with the check of each: (violations, value, path) -> value.
PROFILE: Mapping[str, Rule] = MappingProxyType(
    {
        "first_name": partial(Violations.text, max_length=NAME_MAX),
        "last_name": partial(Violations.text, max_length=NAME_MAX),
        "phone_number": phone,
        "address": partial(Violations.text, max_length=ADDRESS_MAX, multiline=True),
        "bio": partial(Violations.text, max_length=BIO_MAX, multiline=True),
        "avatar_url": Violations.url,
        "course": partial(Violations.text, max_length=COURSE_MAX),
    }
)
BRAND: Mapping[str, Rule] = MappingProxyType(
    {
        "name": partial(Violations.text, max_length=COMPANY_MAX, required=True),
        "description": partial(Violations.text, max_length=DESCRIPTION_MAX, multiline=True),
        "website_url": Violations.url,
        "logo_url": Violations.url,
        "brand_type": partial(Violations.choice, allowed=BRAND_TYPES),
        "company_size": partial(Violations.choice, allowed=COMPANY_SIZES, required=True),
        "user_role": partial(user_role, required=True),
    }
)
