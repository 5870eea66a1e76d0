"""The formats of strings that have rules, as regular expressions.

Each expression describes a part of what its specification admits. A strict reader accepts every
string of that part: seconds end at 59, a host name has letters, digits and hyphens, an e-mail
address has no quotes.

Sources: RFC 3339 (dates, times, durations), RFC 4122 and 9562 (uuid), RFC 5321
(email), RFC 1123 (hostname), RFC 2673 (ipv4), RFC 4291 (ipv6), RFC 4632 (cidr), RFC
3986 (uri), RFC 6901 (json-pointer), RFC 4648 (base64), RFC 7519 (jwt), ITU-T E.164;
zod 4 and pydantic 2 for the names that they add.
"""

from __future__ import annotations

__all__ = [
    "FORMATS",
    "FORMATS_WITHOUT_RULES",
    "LOOSE_FORMATS",
    "LOOSE_MAXIMUM",
    "NUMBER_FORMATS",
    "WHOLE_FORMATS",
    "WIDE_FORMATS",
    "short_format",
]

_LEAP = r"(?:[0-9][0-9](?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)-02-29"
_YEAR = r"(?:000[1-9]|00[1-9][0-9]|0[1-9][0-9][0-9]|[1-9][0-9]{3})"
_DAY = (
    r"(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    r"|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    r"|02-(?:0[1-9]|1[0-9]|2[0-8]))"
)
_DATE = rf"(?:{_YEAR}-{_DAY}|{_LEAP})"
_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_LOCAL_TIME = rf"{_CLOCK}:[0-5][0-9](?:\.[0-9]{{1,6}})?"
_TIME = rf"{_LOCAL_TIME}(?:Z|[+-]{_CLOCK})"

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

_UUID_END = rf"{_HEX}{{3}}-[89abAB]{_HEX}{{3}}-{_HEX}{{12}}"

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,30}[a-zA-Z0-9])?"
_HOST = rf"{_LABEL}(?:\.{_LABEL}){{0,4}}"
_ATOM_CHAR = r"[a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]"
_ATOM = rf"{_ATOM_CHAR}{{1,20}}"
_EMAIL = rf"{_ATOM}(?:\.{_ATOM}){{0,2}}@{_LABEL}(?:\.{_LABEL}){{1,4}}"
_LONG_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"

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
_PREFIX_32 = r"(?:3[0-2]|[12]?[0-9])"
_PREFIX_128 = r"(?:12[0-8]|1[01][0-9]|[1-9]?[0-9])"
_NETWORK = (
    rf"(?:{_IPV4}/32|{_BYTE}\.{_BYTE}\.{_BYTE}\.0/24|{_BYTE}\.{_BYTE}\.0\.0/16|{_BYTE}\.0\.0\.0/8)"
)

_URI_CHAR = rf"(?:[a-zA-Z0-9._~!$&'()*+,;=:@-]|%{_HEX}{{2}})"
_URI_TAIL = rf"(?:/{_URI_CHAR}*)*(?:\?(?:{_URI_CHAR}|[/?])*)?(?:#(?:{_URI_CHAR}|[/?])*)?"
_URI = rf"[a-zA-Z][a-zA-Z0-9+.-]{{0,20}}://{_HOST}(?::[0-9]{{1,4}})?{_URI_TAIL}"
_USER = rf"(?:[a-zA-Z0-9._~!$&'()*+,;=:-]|%{_HEX}{{2}})*"
_LONG_HOST = rf"{_LONG_LABEL}(?:\.{_LONG_LABEL})*"
_AUTHORITY = rf"//(?:{_USER}@)?{_LONG_HOST}(?::[0-9]{{0,5}})?"
_QUERY = rf"(?:\?(?:{_URI_CHAR}|[/?])*)?(?:#(?:{_URI_CHAR}|[/?])*)?"
_WHOLE_URI = (
    rf"[a-zA-Z][a-zA-Z0-9+.-]*:(?:{_AUTHORITY}(?:/{_URI_CHAR}*)*"
    rf"|/?{_URI_CHAR}+(?:/{_URI_CHAR}*)*){_QUERY}"
)
_REFERENCE = rf"(?:{_URI}|/{_URI_CHAR}+{_URI_TAIL})"
_WHOLE_REFERENCE = (
    rf"(?:{_WHOLE_URI}|{_AUTHORITY}(?:/{_URI_CHAR}*)*{_QUERY}"
    rf"|(?:/?(?:[a-zA-Z0-9._~!$&'()*+,;=@-]|%{_HEX}{{2}})+(?:/{_URI_CHAR}*)*)?{_QUERY})"
)
_POINTER = r"(?:/(?:[^/~]|~[01])*)*"

_BASE64 = r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?"
_BASE64URL = r"(?:[A-Za-z0-9_-]{4})*"
_JWT_HEADERS = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9|eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9"
_DECIMAL = r"-?(?:0|[1-9][0-9]{0,18})(?:\.[0-9]{1,19})?"
_SEMVER_PART = r"(?:0|[1-9][0-9]{0,8})"
_REGEX = r"\^?(?:(?:[A-Za-z0-9 _,:;=@/-]|\\[dws.])[*+?]?)*\$?"

_PATTERNS = {
    "date": _DATE,
    "time": _TIME,
    "date-time": f"{_DATE}T{_TIME}",
    "local-date-time": f"{_DATE}T{_LOCAL_TIME}",
    "local-time": _LOCAL_TIME,
    "duration": _DURATION,
    "uuid": _UUID,
    "guid": _UUID,
    **{
        f"uuid{version}": rf"{_HEX}{{8}}-{_HEX}{{4}}-{version}{_UUID_END}"
        for version in range(1, 9)
    },
    "hostname": _HOST,
    "idn-hostname": _HOST,
    "email": _EMAIL,
    "idn-email": _EMAIL,
    "name-email": rf"[A-Za-z]{{1,20}}(?: [A-Za-z]{{1,20}}){{0,3}} <{_EMAIL}>",
    "ipv4": _IPV4,
    "ipv6": _IPV6,
    "ip": _IPV4,
    "ipvanyaddress": _IPV4,
    "cidrv4": rf"{_IPV4}/{_PREFIX_32}",
    "cidrv6": rf"(?:{_IPV6})/{_PREFIX_128}",
    "ipv4interface": rf"{_IPV4}/{_PREFIX_32}",
    "ipv6interface": rf"(?:{_IPV6})/{_PREFIX_128}",
    "ipvanyinterface": rf"{_IPV4}/{_PREFIX_32}",
    "ipv4network": _NETWORK,
    "ipv6network": rf"(?:{_IPV6})/128",
    "ipvanynetwork": _NETWORK,
    "mac": rf"{_HEX}{{2}}(?::{_HEX}{{2}}){{5}}",
    "uri": _URI,
    "url": _URI,
    "iri": _URI,
    "multi-host-uri": _URI,
    "uri-reference": _REFERENCE,
    "iri-reference": _REFERENCE,
    "uri-template": _REFERENCE,
    "relative-uri": rf"/{_URI_CHAR}+{_URI_TAIL}",
    "json-pointer": _POINTER,
    "relative-json-pointer": rf"(?:0|[1-9][0-9]{{0,3}})(?:#|{_POINTER})",
    "json-pointer-uri-fragment": r"#(?:/(?:[a-zA-Z0-9._!$&'()*+,;=:@-]|~[01])*)*",
    "base64": _BASE64,
    "byte": _BASE64,
    "base64url": _BASE64URL,
    "hex": rf"(?:{_HEX}{{2}})*",
    "jwt": rf"(?:{_JWT_HEADERS})\.(?:[A-Za-z0-9_-]{{4}})+\.(?:[A-Za-z0-9_-]{{4}})+",
    "e164": r"\+[1-9][0-9]{6,14}",
    "cuid": r"c[a-z0-9]{24}",
    "cuid2": r"[a-z][a-z0-9]{23}",
    "nanoid": r"[A-Za-z0-9_-]{21}",
    "ulid": r"[0-7][0-9A-HJKMNP-TV-Z]{25}",
    "xid": r"[0-9a-v]{20}",
    "ksuid": r"[A-Za-z0-9]{27}",
    "objectid": r"[0-9a-f]{24}",
    "emoji": r"\p{Emoji_Presentation}{1,8}",
    "lowercase": r"[^A-Z\u0080-\u{10ffff}]*",
    "uppercase": r"[^a-z\u0080-\u{10ffff}]*",
    "decimal": _DECIMAL,
    "int32": r"-?(?:0|[1-9][0-9]{0,8})",
    "int64": r"-?(?:0|[1-9][0-9]{0,17})",
    "uint32": r"(?:0|[1-9][0-9]{0,8})",
    "uint64": r"(?:0|[1-9][0-9]{0,17})",
    "float": _DECIMAL,
    "double": _DECIMAL,
    "char": r"[^\u0000-\u001f]",
    "semver": rf"{_SEMVER_PART}(?:\.{_SEMVER_PART}){{2}}(?:-[a-z][a-z0-9]{{0,15}})?",
    "color": rf"#{_HEX}{{6}}",
    "regex": _REGEX,
    "json-string": rf'(?:{_DECIMAL}|true|false|null|"[^"\\\u0000-\u001f]*"|\[\]|\{{\}})',
}

FORMATS = {name: f"^(?:{pattern})$" for name, pattern in _PATTERNS.items()}
"""The pattern of each format."""

_WHOLE = {
    "hostname": _LONG_HOST,
    "email": rf"{_ATOM_CHAR}+(?:\.{_ATOM_CHAR}+)*@{_LONG_LABEL}(?:\.{_LONG_LABEL})+",
    "uri": _WHOLE_URI,
    "uri-reference": _WHOLE_REFERENCE,
    "duration": _DURATION.replace("{1,4}", "+").replace("{1,5}", "+"),
}
_LIKE = {
    "idn-hostname": "hostname",
    "idn-email": "email",
    "url": "uri",
    "iri": "uri",
    "multi-host-uri": "uri",
    "iri-reference": "uri-reference",
}

WHOLE_FORMATS = {
    **FORMATS,
    **{name: f"^(?:{pattern})$" for name, pattern in _WHOLE.items()},
    **{name: f"^(?:{_WHOLE[other]})$" for name, other in _LIKE.items()},
}
"""Patterns that leave out less, for strings that a ``pattern`` also constrains."""

LOOSE_MAXIMUM = 64
"""In texts of at most this many characters, no label of a host name can be too long."""

_LOOSE_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"

LOOSE_FORMATS = {
    name: pattern.replace(_LONG_LABEL, _LOOSE_LABEL) for name, pattern in WHOLE_FORMATS.items()
}
"""`WHOLE_FORMATS` for texts of at most `LOOSE_MAXIMUM` characters, which need no counting."""

_PATH_CHAR = r"[a-zA-Z0-9._~!$&'()*+,;=:@/-]"


def short_format(name: str, maximum: int) -> str | None:
    """A pattern for texts of a format with at most ``maximum`` characters.

    None if `FORMATS` has the pattern to use. The parts of an e-mail address or a host name share
    the available length. The path, query and fragment of a URI get lengths of their own.
    """
    if _LIKE.get(name, name) == "email" and 8 <= maximum < 240:
        part = min(20, (maximum - 2) // 3)
        label = rf"[a-zA-Z0-9](?:[a-zA-Z0-9-]{{0,{part - 2}}}[a-zA-Z0-9])?"
        return rf"^{_ATOM_CHAR}{{1,{part}}}@{label}\.[a-z]{{2,{part}}}$"
    if _LIKE.get(name, name) == "hostname" and 5 <= maximum < 170:
        part = min(30, (maximum - 1) // 2)
        label = rf"[a-zA-Z0-9](?:[a-zA-Z0-9-]{{0,{part - 2}}}[a-zA-Z0-9])?"
        return rf"^{label}(?:\.{label})?$"
    if _LIKE.get(name, name) not in ("uri", "uri-reference") or maximum < 60:
        return None
    host = r"[a-z0-9](?:[a-z0-9-]{0,18}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,8}[a-z0-9])?)?"
    if maximum < 300:
        return rf"^https?://{host}(?:/{_PATH_CHAR}{{0,{maximum - 40}}})?$"
    part = min(1_000, (maximum - 200) // 3)
    head = _URI.removesuffix(_URI_TAIL)
    query = rf"(?:\?{_PATH_CHAR}{{0,{part}}})?(?:#{_PATH_CHAR}{{0,{part}}})?"
    return rf"^{head}(?:/{_PATH_CHAR}{{0,{part}}})?{query}$"


WIDE_FORMATS = {
    "date": r"^[0-9W-]{7,10}$",
    "time": r"^[0-9][0-9]:?[0-9][0-9]",
    "date-time": r"^[0-9]{4}-?[0-9]{2}-?[0-9]{2}[Tt ]",
    "duration": r"^P",
    "uuid": r"^[^@/ ]{32,45}$",
    "hostname": r"^[^:/@ ]*$",
    "email": "@",
    "ipv4": r"^[0-9.]+$",
    "ipv6": ":",
    "uri": r"^[A-Za-z][A-Za-z0-9+.-]*:",
    "json-pointer": r"^(?:/|$)",
}
"""Patterns that leave out no text that some reader accepts for the format."""

FORMATS_WITHOUT_RULES = frozenset(
    {
        "binary",
        "directory-path",
        "file-path",
        "html",
        "markdown",
        "multiline",
        "password",
        "path",
        "string",
        "text",
        "textarea",
    }
)
"""Formats that every string satisfies: hints for a user interface, and paths,
which only the machine that has them can check."""

NUMBER_FORMATS: dict[str, tuple[int, int]] = {
    **{f"int{bits}": (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": (0, (1 << bits) - 1) for bits in (8, 16, 32, 64)},
}
"""The smallest and the largest whole number of each format, as in OpenAPI."""
