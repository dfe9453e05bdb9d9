from __future__ import annotations

import json
from dataclasses import replace

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel import errors
from services.kernel.errors import DomainError, ErrorRecord, InvalidField, RecordedError, Violation


def all_kinds(base: type[DomainError]) -> list[type[DomainError]]:
    kinds = [each for each in vars(errors).values() if isinstance(each, type)]
    return [each for each in kinds if issubclass(each, base) and hasattr(each, "reason")]


def kept_and_raised(error: DomainError) -> RecordedError:
    kept = json.dumps(error.record().to_json())
    return RecordedError(ErrorRecord.from_json(json.loads(kept)))


KINDS = [each for each in all_kinds(DomainError) if each is not InvalidField]


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_that_has_a_reason_survives_being_recorded(kind: type[DomainError]) -> None:
    error = kind(
        metadata={"etag": "7"}, violations=[Violation("a", "is bad")], retry_after_seconds=1.5
    )
    restored = RecordedError(
        ErrorRecord.from_json(json.loads(json.dumps(error.record().to_json())))
    )
    assert restored.record() == error.record()
    assert (restored.code, restored.reason) == (kind.code, kind.reason)
    assert restored.violations == error.violations
    assert str(restored) == str(error) == kind.text


@given(st.text(), st.dictionaries(st.text(), st.text()), st.none() | st.floats(0, 1e9))
def test_any_text_survives(message: str, metadata: dict[str, str], seconds: float | None) -> None:
    error = errors.EtagMismatch(message, metadata=metadata, retry_after_seconds=seconds)
    restored = RecordedError(
        ErrorRecord.from_json(json.loads(json.dumps(error.record().to_json())))
    )
    assert restored.record() == error.record()


def test_a_restored_error_leaves_its_siblings_alone() -> None:
    first = RecordedError(errors.EtagMismatch().record())
    second = RecordedError(errors.Forbidden().record())
    assert (first.reason, second.reason) == ("ETAG_MISMATCH", "FORBIDDEN")
    assert first.code is grpc.StatusCode.ABORTED


@pytest.mark.parametrize("code", grpc.StatusCode)
def test_what_does_not_pass_is_kept_and_nothing_else(code: grpc.StatusCode) -> None:
    record = replace(errors.EtagMismatch().record(), code=code)
    assert record.is_kept == (
        code.name in {"ALREADY_EXISTS", "FAILED_PRECONDITION", "NOT_FOUND", "PERMISSION_DENIED"}
    )


def test_wrong_fields_are_named_once_each() -> None:
    error = InvalidField(Violation("a", "x"), Violation("b", "y"), Violation("a", "z"))
    assert error.message == "Invalid: a, b. See the field violations."
    assert len(error.violations) == 3


def test_of_many_wrong_fields_the_first_are_named_in_the_message() -> None:
    error = InvalidField(*(Violation(f"f{n}", "x") for n in range(11)))
    named = "f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, ..."
    assert error.message == f"Invalid: {named}. See the field violations."
    assert len(error.violations) == 11


SPOILT = "unreadable-value"


@pytest.mark.parametrize(
    "kept",
    [
        SPOILT,
        [SPOILT],
        {},
        {"code": SPOILT},
        errors.EtagMismatch().record().to_json() | {"code": SPOILT},
        errors.EtagMismatch().record().to_json() | {SPOILT: 1},
        errors.EtagMismatch().record().to_json() | {"metadata": [SPOILT]},
    ],
    ids=str,
)
def test_a_spoilt_error_counts_as_an_unexpected_one(
    kept: object, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ErrorRecord.from_json(kept).reason == "INTERNAL"
    logged = "".join(capsys.readouterr())
    assert "a stored error is malformed" in logged
    assert SPOILT not in logged
