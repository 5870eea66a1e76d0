"""The formats of strings that are written by rule, as regular expressions.

Each describes a part of what its specification admits, chosen so that no
string of it is refused by a strict reader: a minute has 59 seconds at most, a
host name has letters, digits and hyphens, an e-mail address no quotes.

Sources: RFC 3339 (dates, times, durations), RFC 4122 (uuid), RFC 5321 (email),
RFC 1123 (hostname), RFC 2673 (ipv4), RFC 4291 (ipv6), RFC 3986 (uri), RFC 6901
(json-pointer).
"""

from __future__ import annotations

__all__ = ["FORMATS", "FORMATS_WITHOUT_RULES"]

_LEAP = r"(?:[0-9][0-9](?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)-02-29"
_YEAR = r"(?:000[1-9]|00[1-9][0-9]|0[1-9][0-9][0-9]|[1-9][0-9]{3})"
_DAY = (
    r"(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    r"|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    r"|02-(?:0[1-9]|1[0-9]|2[0-8]))"
)
_DATE = rf"(?:{_YEAR}-{_DAY}|{_LEAP})"
_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_TIME = rf"{_CLOCK}:[0-5][0-9](?:\.[0-9]{{1,6}})?(?:Z|[+-]{_CLOCK})"

_DAYS = r"[0-9]{1,4}D"
_MONTHS = rf"[0-9]{{1,4}}M(?:{_DAYS})?"
_SECONDS = r"[0-9]{1,5}S"
_MINUTES = rf"[0-9]{{1,5}}M(?:{_SECONDS})?"
_HOURS = rf"[0-9]{{1,5}}H(?:{_MINUTES})?"
_DATE_PART = rf"(?:{_DAYS}|{_MONTHS}|[0-9]{{1,4}}Y(?:{_MONTHS})?)"
_TIME_PART = rf"T(?:{_HOURS}|{_MINUTES}|{_SECONDS})"
_DURATION = rf"P(?:{_DATE_PART}(?:{_TIME_PART})?|{_TIME_PART}|[0-9]{{1,4}}W)"

_HEX = "[0-9a-fA-F]"
_UUID = rf"{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}"

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,30}[a-zA-Z0-9])?"
_HOST = rf"{_LABEL}(?:\.{_LABEL}){{0,4}}"
_ATOM = r"[a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]{1,20}"
_EMAIL = rf"{_ATOM}(?:\.{_ATOM}){{0,2}}@{_LABEL}(?:\.{_LABEL}){{1,4}}"

_BYTE = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = rf"{_BYTE}(?:\.{_BYTE}){{3}}"
_GROUP = rf"{_HEX}{{1,4}}"
_GROUPS = rf"{_GROUP}(?::{_GROUP})"
_IPV6 = "|".join(
    [
        rf"{_GROUPS}{{7}}",
        *(
            rf"(?:{_GROUPS}{{{before - 1}}})?::(?:{_GROUPS}{{0,{6 - before}}})?"
            for before in range(1, 7)
        ),
        rf"{_GROUPS}{{6}}::",
    ]
)

_URI_CHAR = rf"(?:[a-zA-Z0-9._~!$&'()*+,;=:@-]|%{_HEX}{{2}})"
_URI_TAIL = rf"(?:/{_URI_CHAR}*)*(?:\?(?:{_URI_CHAR}|[/?])*)?(?:#(?:{_URI_CHAR}|[/?])*)?"
_URI = rf"[a-zA-Z][a-zA-Z0-9+.-]{{0,20}}://{_HOST}(?::[0-9]{{1,4}})?{_URI_TAIL}"
_POINTER = r"(?:/(?:[^/~]|~[01])*)*"

FORMATS = {
    name: f"^(?:{pattern})$"
    for name, pattern in {
        "date": _DATE,
        "time": _TIME,
        "date-time": f"{_DATE}T{_TIME}",
        "duration": _DURATION,
        "uuid": _UUID,
        "hostname": _HOST,
        "email": _EMAIL,
        "ipv4": _IPV4,
        "ipv6": _IPV6,
        "uri": _URI,
        "uri-reference": rf"(?:{_URI}|/{_URI_CHAR}+{_URI_TAIL})",
        "json-pointer": _POINTER,
    }.items()
}
"""Pattern of each format, for `parse_pattern`."""

FORMATS_WITHOUT_RULES = frozenset({"password"})
"""Formats that every string has: hints for a user interface."""
