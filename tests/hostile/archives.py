"""Archives that lie about what is in them, drawn at random."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from random import Random

from ..support.packages import member, tar_bytes
from .values import odd_name

__all__ = ["ARCHIVES"]

Files = Mapping[str, bytes]


def checked(header: bytearray) -> bytes:
    """A tar header with its checksum."""
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def plain_tar(files: Files) -> bytes:
    return tar_bytes([(member(name), data) for name, data in files.items()], mode="w")


def plain_zip(files: Files, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()


def sparse(random: Random, files: Files) -> bytes:
    """Maps of sparse files, each block of which becomes 21 pairs of numbers."""
    head = bytearray(member("adapter_model.safetensors", type=b"S").tobuf(tarfile.GNU_FORMAT))
    entry = b"00000000001\0" * 2
    head[386:482] = entry * 4
    head[482] = 1
    block = entry * 21 + b"\1" + bytes(7)
    return gzip.compress(checked(head) + block * random.randint(1, 60_000) + plain_tar(files), 1)


def pax_sparse(random: Random, files: Files) -> bytes:
    records = random.choice(
        [
            {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "a"},
            {"GNU.sparse.map": ",".join("01" * random.randint(1, 4_000))},
            {"GNU.sparse.size": "9" * random.randint(1, 200), "GNU.sparse.numblocks": "9"},
        ]
    )
    data = b"%d\n" % random.choice([1, 10**6, 10**15]) + b"1\n" * random.randint(1, 500_000)
    entry = (member("sparse", pax_headers=records), data)
    return tar_bytes([entry, *((member(n), d) for n, d in files.items())], pax=True)


def pax_records(random: Random, files: Files) -> bytes:
    keys = ("path", "size", "mtime", "uid", "hdrcharset", "linkpath", "comment", "charset")
    values = ("9" * 5_000, "-1", "nan", "../x", "x" * 14_000, "\udcff", "", "1e999", "BINARY")
    value = random.choice(values)
    records = {random.choice(keys): value for _ in range(random.randint(1, 5))}
    buffer = io.BytesIO()
    shared = {f"k{i}": "v" for i in range(random.choice([0, 3, 900]))}
    with tarfile.open(
        fileobj=buffer, mode="w:gz", format=tarfile.PAX_FORMAT, pax_headers=shared
    ) as tar:
        for name, data in files.items():
            info = member(name, size=len(data), pax_headers=records)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def long_names(random: Random, files: Files) -> bytes:
    kind = random.choice([b"L", b"K", b"x", b"g"])
    size = random.choice([0, 1, 512, 10_000, 16_384, 10**6])
    header = member("././@LongLink", type=kind, size=size).tobuf(tarfile.GNU_FORMAT)
    body = bytes(-(-min(size, 20_000) // 512) * 512)
    return gzip.compress((header + body) * random.randint(1, 3_000) + plain_tar(files), 1)


def header_fields(random: Random, files: Files) -> bytes:
    data = bytearray(plain_tar(files))
    for _ in range(random.randint(1, 3)):
        start, width = random.choice([(0, 100), (100, 8), (124, 12), (136, 12), (156, 1), (157, 9)])
        noise = random.choice([b"\xff", b"\x80", b"7", b" ", b"\0", b"-", b"S", b"x"])
        data[start : start + width] = noise * width
    if random.random() < 0.8:
        data[:512] = checked(data[:512])
    return bytes(data) if random.random() < 0.5 else gzip.compress(bytes(data), 1)


def gzip_tricks(random: Random, files: Files) -> bytes:
    tar = plain_tar(files)
    packed = gzip.compress(tar, 1)
    empty = gzip.compress(b"")
    return random.choice(
        [
            lambda: packed + empty * random.randint(1, 300_000),
            lambda: empty * random.randint(1, 300_000) + packed,
            lambda: packed[:3] + b"\x08" + packed[4:10] + b"n" * 9_000_000 + b"\0" + packed[10:],
            lambda: packed[:3] + b"\x04" + packed[4:10] + b"\xff\xff" + bytes(65_535) + packed[10:],
            lambda: packed[:3] + b"\xff" + packed[4:],
            lambda: gzip.compress(tar + bytes(random.randint(1, 90_000_000)), 1),
            lambda: gzip.compress(gzip.compress(tar)),
            lambda: packed + random.randbytes(random.randint(1, 1_000)),
            lambda: packed + bytes(9_000_000),
            lambda: packed[: random.randrange(20, len(packed))],
        ]
    )()


def bomb(random: Random, files: Files) -> bytes:
    zeros = bytes(random.choice([1 << 20, 40 << 20, 100 << 20]))
    name = random.choice(["adapter_model.safetensors", "zeros", "zeros.bin", "manifest.json"])
    packed = {**files, name: zeros}
    if random.random() < 0.5:
        return plain_zip(packed)
    return gzip.compress(plain_tar(packed), 1)


def names(random: Random, files: Files) -> bytes:
    odd = {odd_name(random): b"x" for _ in range(random.randint(1, 4))}
    if random.random() < 0.4:
        odd = {name: data for name, data in odd.items() if len(name) < 60_000}
        return plain_zip({**files, **odd})
    usable = {name.replace("\0", "\x01"): data for name, data in odd.items()}
    entries = [(member(n), d) for n, d in [*files.items(), *usable.items()]]
    return tar_bytes(entries, pax=random.random() < 0.5)


def many_members(random: Random, files: Files) -> bytes:
    n = random.choice([4_000, 5_000, 40_000])
    deep = "/".join("d" * random.choice([1, 15, 40]))
    many = {f"{deep}/{i}": b"" for i in range(n)}
    return plain_zip({**files, **many}) if random.random() < 0.5 else plain_tar({**files, **many})


def kinds(random: Random, files: Files) -> bytes:
    kind = random.choice([b"1", b"2", b"3", b"4", b"6", b"7", b"A", b"V", b"M", b"D", b"N"])
    target = random.choice(["/etc/passwd", "manifest.json", "../../x", "", "x" * 90])
    odd = member("door", type=kind, linkname=target)
    inside = (member("door/manifest.json"), b"{}")
    entries = [(odd, b""), inside, *((member(n), d) for n, d in files.items())]
    random.shuffle(entries)
    return tar_bytes(entries)


def zip_fields(random: Random, files: Files) -> bytes:
    data = bytearray(plain_zip(files, random.choice([0, 8])))
    for _ in range(random.randint(1, 4)):
        sign = random.choice([b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"])
        place = data.index(sign) + random.randrange(4, 30)
        value = random.choice([0, 1, 0xFFFF, 0xFFFFFFFF, 0x7FFFFFFF, 1 << 20])
        data[place : place + 4] = struct.pack("<I", value)
    return bytes(data)


def overlapping_zip(random: Random, files: Files) -> bytes:
    """Many entries of the table of contents for one and the same member."""
    files = {**files, "zeros": bytes(random.choice([10_000, 30_000_000]))}
    data = bytearray(plain_zip(files))
    start = data.rindex(b"PK\x01\x02", 0, data.rindex(b"PK\x05\x06"))
    end = data.rindex(b"PK\x05\x06")
    entry = bytes(data[start:end])
    copies = b""
    n = random.choice([100, 3_000, 30_000])
    for i in range(n):
        copies += entry[:-5] + b"%05d" % i
    table = bytes(data[data.index(b"PK\x01\x02") : end]) + copies
    tail = bytearray(data[end:])
    first = data.index(b"PK\x01\x02")
    tail[8:20] = struct.pack("<HHII", n & 0xFFFF, n & 0xFFFF, len(table), first)
    return bytes(data[:first]) + table + bytes(tail)


def flipped(random: Random, files: Files) -> bytes:
    data = bytearray(random.choice([plain_tar, plain_zip])(files))
    if random.random() < 0.4:
        data = bytearray(gzip.compress(bytes(data), 1))
    for _ in range(random.randint(1, 40)):
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return bytes(data) if random.random() < 0.7 else bytes(data[: random.randrange(len(data))])


ARCHIVES: dict[str, Callable[[Random, Files], bytes]] = {
    "a map of a sparse file": sparse,
    "a sparse file in pax records": pax_sparse,
    "odd pax records": pax_records,
    "long-name headers": long_names,
    "odd header fields": header_fields,
    "gzip tricks": gzip_tricks,
    "a bomb": bomb,
    "odd names": names,
    "many members": many_members,
    "links and devices": kinds,
    "odd zip fields": zip_fields,
    "a zip whose members overlap": overlapping_zip,
    "flipped bits": flipped,
}
"""What an archive with these files is made into."""
