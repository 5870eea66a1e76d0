"""The validator of these tests: ``jsonschema``, with formats checked by the standard library."""

from __future__ import annotations

import datetime
import ipaddress
import re
import uuid
from typing import Any

from jsonschema import FormatChecker
from jsonschema.protocols import Validator
from jsonschema.validators import Draft202012Validator, validator_for

__all__ = ["validator_of"]

_FORMATS = FormatChecker(formats=())

_TIME = re.compile(r"((?!24)\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)")


def validator_of(schema: Any) -> Validator:
    """A validator that checks formats, for the draft in ``$schema`` or else for 2020-12."""
    return validator_for(schema, default=Draft202012Validator)(schema, format_checker=_FORMATS)


@_FORMATS.checks("date", raises=ValueError)
def _date(text: str) -> bool:
    return bool(datetime.date.fromisoformat(text)) and len(text) == 10


@_FORMATS.checks("time", raises=ValueError)
def _time(text: str) -> bool:
    match = _TIME.fullmatch(text)
    if not match:
        return False
    zone = match[3].replace("Z", "+00:00")
    return bool(datetime.time.fromisoformat(match[1] + zone).tzinfo)


@_FORMATS.checks("date-time", raises=ValueError)
def _date_time(text: str) -> bool:
    date, _, time = text.partition("T")
    return _date(date) and _time(time)


@_FORMATS.checks("duration")
def _duration(text: str) -> bool:
    units = re.fullmatch(
        r"P(?=[^W]|\d+W$)(?!$)(\d+Y)?(\d+M)?(\d+D)?(\d+W)?(T(?=\d)(\d+H)?(\d+M)?(\d+S)?)?", text
    )
    return units is not None


@_FORMATS.checks("uuid", raises=ValueError)
def _uuid(text: str) -> bool:
    return str(uuid.UUID(text)) == text.lower()


@_FORMATS.checks("ipv4", raises=ValueError)
def _ipv4(text: str) -> bool:
    return str(ipaddress.IPv4Address(text)) == text


@_FORMATS.checks("ipv6", raises=ValueError)
def _ipv6(text: str) -> bool:
    return bool(ipaddress.IPv6Address(text).exploded)


@_FORMATS.checks("hostname")
def _hostname(text: str) -> bool:
    return (
        re.fullmatch(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*", text)
        is not None
    )


@_FORMATS.checks("email")
def _email(text: str) -> bool:
    local, _, host = text.rpartition("@")
    return (
        _hostname(host)
        and re.fullmatch(r"[^@\s\"(),:;<>\[\]\\.]+(\.[^@\s\"(),:;<>\[\]\\.]+)*", local) is not None
    )


@_FORMATS.checks("uri")
def _uri(text: str) -> bool:
    return re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"{}|\\^`]*", text) is not None


@_FORMATS.checks("uri-reference")
def _uri_reference(text: str) -> bool:
    return re.fullmatch(r"[^\s<>\"{}|\\^`]*", text) is not None


@_FORMATS.checks("json-pointer")
def _json_pointer(text: str) -> bool:
    return re.fullmatch(r"(/([^/~]|~[01])*)*", text) is not None
