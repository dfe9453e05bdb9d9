"""The JSON forms of messages: JSON values are checked against message types, field by field.

A valid value comes out in one form (proto names, numbers as numbers). So path, query and body
can be compared and merged, and the codec accepts the result. It gets proto names, because it
takes a name for one of these first, and the JSON name of one field may be that of another. The
check reports every wrong field with its place, not only the first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from functools import cached_property
from typing import Any, Final

from lockstep_gateway.binding import strictjson
from lockstep_gateway.binding.scalars import Check, FromText, check_of, from_text_of
from lockstep_gateway.binding.system import SystemParameters
from lockstep_gateway.binding.violations import BindingViolations, joined
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
EMPTY: Final = "google.protobuf.Empty"
NULL_VALUE: Final = "google.protobuf.NullValue"
SPECIAL: Final = {ANY, FIELD_MASK, *STRUCTS, *IN_STRINGS, *WRAPPERS}
"""Messages that have a JSON form of their own."""

FromJson = Callable[[Any, str, BindingViolations], Any]
"""Takes a JSON value and its place, notes violations, and returns the value in one form."""


@dataclass(frozen=True, slots=True)
class ValueReader:
    """The functions that read one value of a type.

    Attributes:
        from_json: Reads the value from JSON.
        from_text: Reads it from the text of a path or a query; None if it has no text form.
        form: The form of a message; None for messages with a JSON form of their own.
        takes_null: Whether `null` is a value, not the absence of one.
    """

    from_json: FromJson
    from_text: FromText | None = None
    form: MessageForm | None = None
    takes_null: bool = False


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a message; `oneof_siblings` are the others of its oneof, name to JSON name."""

    name: str
    json_name: str
    reader: ValueReader
    oneof_siblings: Mapping[str, str]
    repeated: bool
    map: bool

    @property
    def form(self) -> MessageForm | None:
        """The form of the single message in this field; None if there is none."""
        return None if self.repeated or self.map else self.reader.form

    def read(self, value: Any, path: str, v: BindingViolations) -> Any:
        """Read the value of this field."""
        return self.reader.from_json(value, path, v)

    def refuse_siblings(self, holder: dict[str, Any], path: str, v: BindingViolations) -> None:
        """Note a violation if the object holds another field of the same oneof."""
        for name, json_name in self.oneof_siblings.items():
            if holder.get(name) is not None:
                v.add(path, f"cannot be set together with `{json_name}`")


@dataclass(frozen=True, slots=True, eq=False)
class MessageForms:
    """Make the form of each message once.

    Attributes:
        registry: The message types, also of messages inside of Any.
        ignore_unknown: Whether unknown fields are dropped instead of refused.
        fold_first_letter: Whether the first letter of a name may be of either case.
        system_parameters: The parameters of a query that belong to no message.
    """

    registry: Registry
    _: KW_ONLY
    ignore_unknown: bool = False
    fold_first_letter: bool = False
    system_parameters: SystemParameters = field(default_factory=SystemParameters)
    _made: dict[str, MessageForm] = field(default_factory=dict, init=False)

    def of(self, message: DescMessage) -> MessageForm:
        """Return the form of a message."""
        form = self._made.get(message.type_name)
        if form is None:
            form = self._made[message.type_name] = MessageForm(self, message)
        return form

    def reader(self, type_: ScalarType | DescEnum | DescMessage) -> ValueReader:
        """Return the reader of one value of a type."""
        if isinstance(type_, DescMessage):
            return self._message_reader(type_)
        takes_null = isinstance(type_, DescEnum) and type_.type_name == NULL_VALUE
        return ValueReader(_checked(check_of(type_)), from_text_of(type_), takes_null=takes_null)

    def _message_reader(self, message: DescMessage) -> ValueReader:
        name = message.type_name
        if name in WRAPPERS:
            inner = message.fields[0].value
            assert isinstance(inner, DescFieldValueScalar)
            return self.reader(inner.scalar)
        if name in STRUCTS:
            check = _instance_check(*STRUCTS[name])

            def from_text(text: str) -> Any:
                return check(strictjson.read_text(text))

            return ValueReader(_checked(check), from_text, takes_null=name == VALUE)
        if name in IN_STRINGS or name == FIELD_MASK:
            check = _codec_check(message)
            return ValueReader(_checked(check), check)
        if name == ANY:
            return ValueReader(self._read_any)
        form = self.of(message)
        return ValueReader(form.read, form=form)

    def _read_any(self, value: Any, path: str, v: BindingViolations) -> Any:
        if type(value) is not dict or not isinstance(value.get("@type", ""), str):
            v.add(path, "must be an object with a string `@type`")
            return None
        if not value:
            return value
        url = value.get("@type", "")
        message = self.registry.message(url.rpartition("/")[2])
        if message is None or "/" not in url:
            v.add(joined(path, "@type"), "is not a known type")
            return None
        rest = {name: each for name, each in value.items() if name != "@type"}
        reader = self.reader(message)
        if message.type_name == EMPTY and rest == {"value": {}}:
            rest = {}  # Go gives Empty a JSON form of its own.
        if reader.form is not None:
            return {"@type": url, **reader.form.read(rest, path, v)}
        if rest.keys() != {"value"}:
            v.add(path, "must hold `value` and nothing else")
            return None
        inner = reader.from_json(rest["value"], joined(path, "value"), v)
        return {"@type": url, "value": inner}


@dataclass(frozen=True, eq=False)
class MessageForm:
    """The JSON form of one message.

    The fields are made at their first use, because a message may hold its own type.
    """

    forms: MessageForms
    message: DescMessage

    @cached_property
    def by_name(self) -> dict[str, Field]:
        """The fields by proto name."""
        return {desc.name: _field(self.forms, desc) for desc in self.message.fields}

    @cached_property
    def fields(self) -> dict[str, Field]:
        """The fields by every name that JSON may use. A JSON name wins over a proto name."""
        by_name = dict(self.exact_fields)
        if self.forms.fold_first_letter:
            for name, field in list(by_name.items()):
                by_name.setdefault(name[:1].swapcase() + name[1:], field)
        return by_name

    @cached_property
    def exact_fields(self) -> dict[str, Field]:
        """The fields by proto name and JSON name."""
        return self.by_name | {field.json_name: field for field in self.by_name.values()}

    def read(self, value: Any, path: str, v: BindingViolations) -> dict[str, Any]:
        """Read an object. Fields that are null stay, because they were present."""
        out: dict[str, Any] = {}
        if type(value) is not dict:
            v.add(path or "body", "must be an object")
            return out
        for name, each in value.items():
            field = self.fields.get(name)
            if field is None:
                if not self.forms.ignore_unknown:
                    v.add(joined(path, name), "is not a field")
                continue
            place = joined(path, field.json_name)
            if field.name in out:
                v.add(place, "is given twice")
            elif each is None and not field.reader.takes_null:
                out[field.name] = None
            else:
                field.refuse_siblings(out, place, v)
                out[field.name] = field.read(each, place, v)
        return out


def _field(forms: MessageForms, desc: DescField) -> Field:
    value = desc.value
    siblings: dict[str, str] = {}
    if isinstance(value, DescFieldValueList):
        item = forms.reader(value.element)
        reader = ValueReader(_list_reader(item), item.from_text, item.form)
    elif isinstance(value, DescFieldValueMap):
        reader = ValueReader(_map_reader(from_text_of(value.key), forms.reader(value.value)))
    else:
        if value.oneof is not None:
            siblings = {
                each.name: each.json_name for each in value.oneof.fields if each is not desc
            }
        reader = forms.reader(_type_of(desc))
    return Field(
        name=desc.name,
        json_name=desc.json_name,
        reader=reader,
        oneof_siblings=siblings,
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


def _checked(check: Check) -> FromJson:
    def read(value: Any, path: str, v: BindingViolations) -> Any:
        try:
            return check(value)
        except ValueError as error:
            v.add(path, str(error))
            return None

    return read


def _list_reader(item: ValueReader) -> FromJson:
    def read(value: Any, path: str, v: BindingViolations) -> Any:
        if type(value) is not list:
            v.add(path, "must be a list")
            return None
        return [_read_item(item, each, f"{path}[{index}]", v) for index, each in enumerate(value)]

    return read


def _map_reader(key_from_text: FromText, item: ValueReader) -> FromJson:
    def read(value: Any, path: str, v: BindingViolations) -> Any:
        if type(value) is not dict:
            v.add(path, "must be an object")
            return None
        out: dict[str, Any] = {}
        for text, each in value.items():
            place = joined(path, text)
            try:
                key = _key_text(key_from_text(text))
            except ValueError as error:
                v.add(place, f"is a key that {error}")
                continue
            if key in out:
                v.add(place, "is given twice")
            out[key] = _read_item(item, each, place, v)
        return out

    return read


def _key_text(key: Any) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)


def _read_item(item: ValueReader, value: Any, place: str, v: BindingViolations) -> Any:
    if value is None and not item.takes_null:
        v.add(place, "must not be null")
        return None
    return item.from_json(value, place, v)


def _instance_check(type_: type, words: str) -> Check:
    def check(value: Any) -> Any:
        if not isinstance(value, type_):
            raise ValueError(f"must be {words}")
        return value

    return check


def _codec_check(message: DescMessage) -> Check:
    type_ = message.type
    name = message.name
    # The codec takes "3.s", too.
    is_whole = re.compile(r"(?!.*\.(?![0-9]))" if message.type_name in IN_STRINGS else "").match

    def check(value: Any) -> Any:
        if not isinstance(value, str):
            raise ValueError(f"must be a string that holds a {name}")
        if not is_whole(value):
            raise ValueError(f"is not a {name} in its JSON form")
        try:
            # Write it again, too: the codec reads field masks that it cannot write.
            message_from_json_value(type_, value).to_json()
        except (ValueError, TypeError, OverflowError):
            raise ValueError(f"is not a {name} in its JSON form") from None
        return value

    return check
