"""The JSON forms of messages: checks a JSON value against a message type, field by field.

What passes is brought into one form (JSON names, numbers as numbers), so that it can be
compared and merged, and then decoded by the codec without a surprise. Every wrong field is
reported by its place, not only the first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from protobuf import (
    DescEnum,
    DescField,
    DescFieldValueList,
    DescFieldValueMap,
    DescFieldValueMessage,
    DescFieldValueScalar,
    DescMessage,
    Registry,
    ScalarType,
    message_from_json_value,
)

from services.gateway.binding import strictjson
from services.gateway.binding.problems import Problems, joined
from services.gateway.binding.scalars import Check, FromText, check_of, from_text_of

ANY: Final = "google.protobuf.Any"
VALUE: Final = "google.protobuf.Value"
STRUCTS: Final = {
    "google.protobuf.Struct": (dict, "an object"),
    VALUE: (object, "any value"),
    "google.protobuf.ListValue": (list, "a list"),
}
IN_STRINGS: Final = ("google.protobuf.Timestamp", "google.protobuf.Duration")
FIELD_MASK: Final = "google.protobuf.FieldMask"
WRAPPERS: Final = {
    f"google.protobuf.{name}Value"
    for name in (
        "Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes",
    )
}  # fmt: skip
NULL_VALUE: Final = "google.protobuf.NullValue"
SPECIAL: Final = {ANY, FIELD_MASK, *STRUCTS, *IN_STRINGS, *WRAPPERS}
"""Messages that have a JSON form of their own."""

Reader = Callable[[Any, str, Problems], Any]
"""Takes a JSON value and its place, notes problems, and gives the value in one form."""


@dataclass(frozen=True, slots=True)
class Kind:
    """How one value of a type is read.

    Attributes:
        read: From JSON.
        from_text: From text in a path or a query; None where a type has no such form.
        shape: The message, unless it has a JSON form of its own.
        takes_null: Whether `null` is a value and not the absence of one.
    """

    read: Reader
    from_text: FromText | None = None
    shape: Shape | None = None
    takes_null: bool = False


@dataclass(frozen=True, slots=True)
class Member:
    """A field of a message in its JSON form; `rivals` are the others of its oneof."""

    name: str
    json_name: str
    kind: Kind
    rivals: frozenset[str]
    repeated: bool
    map: bool

    @property
    def shape(self) -> Shape | None:
        """The message that this field holds one of, unless it has a JSON form of its own."""
        return None if self.repeated or self.map else self.kind.shape

    def read(self, value: Any, path: str, problems: Problems) -> Any:
        """Read the value of this field."""
        return self.kind.read(value, path, problems)

    def refuse_rivals(self, holder: dict[str, Any], path: str, problems: Problems) -> None:
        """Note a problem if the object holds another field of the same oneof."""
        for rival in self.rivals:
            if holder.get(rival) is not None:
                problems.add(path, f"and `{rival}` exclude each other")


class Shapes:
    """Makes the shape of each message once.

    Args:
        registry: Knows the messages inside Any.
        ignore_unknown: Let members pass that a message does not have; they are dropped.
        fold_first_letter: Let the first letter of a member's name be of either case.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        ignore_unknown: bool = False,
        fold_first_letter: bool = False,
    ) -> None:
        """See the class."""
        self.registry: Final = registry
        self.ignore_unknown: Final = ignore_unknown
        self.fold_first_letter: Final = fold_first_letter
        self._made: dict[str, Shape] = {}

    def of(self, message: DescMessage) -> Shape:
        """Return the shape of a message."""
        shape = self._made.get(message.type_name)
        if shape is None:
            shape = self._made[message.type_name] = Shape(self, message)
        return shape

    def kind(self, type_: ScalarType | DescEnum | DescMessage) -> Kind:
        """Return how one value of a type is read."""
        if isinstance(type_, DescMessage):
            return self._message_kind(type_)
        takes_null = isinstance(type_, DescEnum) and type_.type_name == NULL_VALUE
        return Kind(_checked(check_of(type_)), from_text_of(type_), takes_null=takes_null)

    def _message_kind(self, message: DescMessage) -> Kind:
        name = message.type_name
        if name in WRAPPERS:
            inner = message.fields[0].value
            assert isinstance(inner, DescFieldValueScalar)
            return self.kind(inner.scalar)
        if name in STRUCTS:
            check = _instance_check(*STRUCTS[name])
            from_text: FromText = lambda text: check(strictjson.read_text(text))  # noqa: E731
            return Kind(_checked(check), from_text, takes_null=name == VALUE)
        if name in IN_STRINGS or name == FIELD_MASK:
            check = _codec_check(message)
            return Kind(_checked(check), check)
        if name == ANY:
            return Kind(self._read_any)
        shape = self.of(message)
        return Kind(shape.read, shape=shape)

    def _read_any(self, value: Any, path: str, problems: Problems) -> Any:
        if type(value) is not dict or not isinstance(value.get("@type", ""), str):
            problems.add(path, "has to be an object with a string `@type`")
            return None
        if not value:
            return value
        url = value.get("@type", "")
        message = self.registry.message(url.rpartition("/")[2])
        if message is None or "/" not in url:
            problems.add(joined(path, "@type"), "names no type that is known here")
            return None
        rest = {name: each for name, each in value.items() if name != "@type"}
        kind = self.kind(message)
        if kind.shape is not None:
            return {"@type": url, **kind.shape.read(rest, path, problems)}
        if rest.keys() != {"value"}:
            problems.add(path, "has to hold `value` and nothing else")
            return None
        return {"@type": url, "value": kind.read(rest["value"], joined(path, "value"), problems)}


class Shape:
    """The JSON form of one message."""

    def __init__(self, shapes: Shapes, message: DescMessage) -> None:
        """See the class. The members are made when they are needed first: types recur."""
        self._shapes = shapes
        self.message: Final = message

    @cached_property
    def members(self) -> dict[str, Member]:
        """The fields by each name that JSON may use for them."""
        made = [_member(self._shapes, field) for field in self.message.fields]
        by_name = {member.name: member for member in made}
        by_name |= {member.json_name: member for member in made}
        if self._shapes.fold_first_letter:
            for name, member in list(by_name.items()):
                by_name.setdefault(name[:1].swapcase() + name[1:], member)
        return by_name

    @cached_property
    def exact_members(self) -> dict[str, Member]:
        """The fields by proto name and JSON name."""
        members = self.members.values()
        names = {member.name: member for member in members}
        return names | {member.json_name: member for member in members}

    def read(self, value: Any, path: str, problems: Problems) -> dict[str, Any]:
        """Read an object. Members that are null stay, since they were present."""
        out: dict[str, Any] = {}
        if type(value) is not dict:
            problems.add(path or "body", "has to be an object")
            return out
        for name, each in value.items():
            member = self.members.get(name)
            if member is None:
                if not self._shapes.ignore_unknown:
                    problems.add(joined(path, name), "is not a field")
                continue
            place = joined(path, member.json_name)
            if member.json_name in out:
                problems.add(place, "is given twice")
            elif each is None and not member.kind.takes_null:
                out[member.json_name] = None
            else:
                member.refuse_rivals(out, place, problems)
                out[member.json_name] = member.read(each, place, problems)
        return out


def _member(shapes: Shapes, field: DescField) -> Member:
    value = field.value
    rivals: frozenset[str] = frozenset()
    if isinstance(value, DescFieldValueList):
        item = shapes.kind(value.element)
        kind = Kind(_list_reader(item), item.from_text, item.shape)
    elif isinstance(value, DescFieldValueMap):
        kind = Kind(_map_reader(from_text_of(value.key), shapes.kind(value.value)))
    else:
        if value.oneof is not None:
            rivals = frozenset(each.json_name for each in value.oneof.fields if each is not field)
        kind = shapes.kind(_type_of(field))
    return Member(
        name=field.name,
        json_name=field.json_name,
        kind=kind,
        rivals=rivals,
        repeated=isinstance(value, DescFieldValueList),
        map=isinstance(value, DescFieldValueMap),
    )


def _type_of(field: DescField) -> ScalarType | DescEnum | DescMessage:
    value = field.value
    if isinstance(value, DescFieldValueScalar):
        return value.scalar
    if isinstance(value, DescFieldValueMessage):
        return value.message
    assert not isinstance(value, DescFieldValueList | DescFieldValueMap)
    return value.enum


def _checked(check: Check) -> Reader:
    def read(value: Any, path: str, problems: Problems) -> Any:
        try:
            return check(value)
        except ValueError as error:
            problems.add(path, str(error))
            return None

    return read


def _list_reader(item: Kind) -> Reader:
    def read(value: Any, path: str, problems: Problems) -> Any:
        if type(value) is not list:
            problems.add(path, "has to be a list")
            return None
        return [
            _read_item(item, each, f"{path}[{index}]", problems) for index, each in enumerate(value)
        ]

    return read


def _map_reader(key_from_text: FromText, item: Kind) -> Reader:
    def read(value: Any, path: str, problems: Problems) -> Any:
        if type(value) is not dict:
            problems.add(path, "has to be an object")
            return None
        out: dict[str, Any] = {}
        for text, each in value.items():
            place = joined(path, text)
            try:
                key = _key_text(key_from_text(text))
            except ValueError as error:
                problems.add(place, f"has a key that {error}")
                continue
            if key in out:
                problems.add(place, "is given twice")
            out[key] = _read_item(item, each, place, problems)
        return out

    return read


def _key_text(key: Any) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)


def _read_item(item: Kind, value: Any, place: str, problems: Problems) -> Any:
    if value is None and not item.takes_null:
        problems.add(place, "must not be null")
        return None
    return item.read(value, place, problems)


def _instance_check(type_: type, words: str) -> Check:
    def check(value: Any) -> Any:
        if not isinstance(value, type_):
            raise ValueError(f"has to be {words}")
        return value

    return check


def _codec_check(message: DescMessage) -> Check:
    type_ = message.type
    name = message.name

    def check(value: Any) -> Any:
        if not isinstance(value, str):
            raise ValueError(f"has to be a {name} in a string")
        try:
            # There and back: the codec reads masks that it cannot write.
            message_from_json_value(type_, value).to_json()
        except (ValueError, TypeError, OverflowError):
            raise ValueError(f"is no {name} in its JSON form") from None
        return value

    return check
