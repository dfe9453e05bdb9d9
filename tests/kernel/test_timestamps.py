"""Moments on the wire and back."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st
from lockstep.profile.v1.profile_service_pb2 import CreateProfileRequest

from services.kernel.errors import InvalidField
from services.kernel.rpc.timestamps import read_moment, timestamp
from services.kernel.validation import Violations

YEAR_10000 = Timestamp(seconds=253402300800)


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_moment_comes_back_as_it_went(moment: datetime) -> None:
    request = CreateProfileRequest(not_after=timestamp(moment))
    expected = Timestamp()
    expected.FromDatetime(moment)
    assert request.not_after == expected
    with Violations() as v:
        assert read_moment(v, request, "not_after") == moment


@pytest.mark.parametrize("moment", [None, YEAR_10000, Timestamp(nanos=-1)])
def test_a_moment_must_be_there_and_in_range(moment: Timestamp | None) -> None:
    with pytest.raises(InvalidField) as caught, Violations() as v:
        read_moment(v, CreateProfileRequest(not_after=moment), "not_after")
    assert [each.field for each in caught.value.violations] == ["not_after"]
