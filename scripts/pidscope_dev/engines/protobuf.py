"""As much of the protobuf encoding as the CRI's messages need: a message is a map of its fields.

A field's number leads to a text, a whole number, a message, or a list of these
(https://protobuf.dev/programming-guides/encoding).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Union

Value = Union[str, int, "Message", list["Value"]]
Message = Mapping[int, Value]

_VARINT, _LENGTH = 0, 2


def encoded(message: Message) -> bytes:
    """Return a message's bytes."""
    return b"".join(_field(number, value) for number, value in message.items())


def _field(number: int, value: Value) -> bytes:
    if isinstance(value, list):
        return b"".join(_field(number, each) for each in value)
    if isinstance(value, int):
        return _varint(number << 3 | _VARINT) + _varint(value)
    data = value.encode() if isinstance(value, str) else encoded(value)
    return _varint(number << 3 | _LENGTH) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def texts(data: bytes, number: int) -> Iterator[str]:
    """Yield the texts of one field of a message. Raises IndexError where the bytes end early."""
    at = 0
    while at < len(data):
        key, at = _read_varint(data, at)
        length, at = _read_varint(data, at)
        if key & 7 == _LENGTH:
            if key >> 3 == number:
                yield data[at : at + length].decode()
            at += length


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 0x80:
            return value, at
