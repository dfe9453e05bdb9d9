"""The system parameters of a query: they are about the call, and belong to no message.

https://cloud.google.com/apis/docs/system-parameters. Generated clients of Google send some with
every request. A field of the same name wins.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

ALT: Final = ("$alt", "alt")
ENUM_NUMBERS: Final = "enum-encoding=int"
"""With it, generated clients of Google ask for the numbers of enums instead of their names."""

GOOGLES: Final = (
    *("$.xgafv", "$alt", "$apiVersion", "$callback", "$fields", "$key", "$outputDefaults"),
    *("$prettyPrint", "$quotaUser", "$unique", "$userProject", "access_token", "alt"),
    *("callback", "fields", "key", "oauth_token", "prettyPrint", "quotaUser", "uploadType"),
    *("upload_protocol", "userProject"),
)


class SystemParameters:
    """The parameters that are ignored.

    Args:
        names: Their names; `utm_*` stands for all that begin with `utm_`.
    """

    def __init__(self, names: Iterable[str] = GOOGLES) -> None:
        given = list(names)
        self._names = frozenset(given)
        self._prefixes = tuple(each.removesuffix("*") for each in given if each.endswith("*"))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (name in self._names or name.startswith(self._prefixes))


def asks_for_numbers(name: str, value: str) -> bool:
    """Tell whether a system parameter asks for the numbers of enums."""
    return name in ALT and ENUM_NUMBERS in value.split(";")
