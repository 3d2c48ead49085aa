"""Pictures from outside: checked by their headers alone, so that no limit is found out by decoding.

A picture is what its first bytes say, whatever the client called it. Size, animation and whether the end is there are
read from the file's structure (PNG: https://www.w3.org/TR/png-3/, JPEG: ITU-T T.81 annex B, WebP: RFC 9649); a file
that contradicts itself about its size is refused, as the decoder might believe the other statement.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator
from typing import Final

from kpray.serving.errors import ApiError
from kpray.serving.types import Image

Size = tuple[int, int]

_LONGEST_RATIO: Final = 200
"""Width to height or height to width; models that keep a picture's shape refuse more."""


class _BrokenError(Exception):
    """A file that does not keep to its format; the text ends the sentence 'the picture ...'."""


def from_data_uri(uri: str, *, most_bytes: int, most_pixels: int, param: str) -> Image:
    """Read ``data:image/...;base64,...``.

    Args:
        uri: As sent.
        most_bytes: Of the file.
        most_pixels: Width times height.
        param: Where it stood in the request, for the error.

    Raises:
        ApiError: 400 for what is no picture, 413 for one that is too large.
    """
    head, comma, data = uri.partition(",")
    if not comma or not head.lower().endswith(";base64"):
        raise _refused("is not a data URI; expected data:image/jpeg;base64,...", param)
    if len(data) // 4 * 3 > most_bytes + 2:  # known before decoding; two bytes may be padding
        raise _too_large(f"has more than the {most_bytes:,} bytes that this server takes", param)
    try:
        encoded = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise _refused("is not valid base64 (the standard alphabet, padded, without line breaks)", param) from None
    return from_bytes(encoded, most_bytes=most_bytes, most_pixels=most_pixels, param=param)


def from_bytes(encoded: bytes, *, most_bytes: int, most_pixels: int, param: str) -> Image:
    """Check a picture's file.

    Raises:
        ApiError: 400 for what is no picture, 413 for one that is too large.
    """
    if len(encoded) > most_bytes:
        raise _too_large(f"has {len(encoded):,} bytes; this server takes {most_bytes:,}", param)
    media_type, measure = _format(encoded, param)
    try:
        width, height = measure(encoded)
    except _BrokenError as error:
        raise _refused(str(error), param) from None
    if width * height > most_pixels:
        raise _too_large(f"is {width} x {height} pixels; this server takes {most_pixels:,} in all", param)
    if min(width, height) < 1 or max(width, height) > _LONGEST_RATIO * min(width, height):
        raise _refused(f"is {width} x {height} pixels; expected at most {_LONGEST_RATIO} times as long as wide", param)
    return Image(encoded, media_type, width, height)


def _format(encoded: bytes, param: str) -> tuple[str, Callable[[bytes], Size]]:
    if encoded.startswith(b"\xff\xd8\xff"):
        return "image/jpeg", _jpeg_size
    if encoded.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png", _png_size
    if encoded[:4] == b"RIFF" and encoded[8:12] == b"WEBP":
        return "image/webp", _webp_size
    raise _refused("is none of JPEG, PNG and WebP by its content", param)


def _refused(what: str, param: str) -> ApiError:
    return ApiError(400, f"the picture {what}", code="invalid_image", param=param)


def _too_large(what: str, param: str) -> ApiError:
    return ApiError(413, f"the picture {what}; send a smaller one", code="image_too_large", param=param)


def _png_size(encoded: bytes) -> Size:
    names, header = [], b""
    for name, data in _png_chunks(encoded):
        header = header or data
        names.append(name)
    if names[:1] != [b"IHDR"] or names.count(b"IHDR") != 1 or len(header) != 13:
        raise _BrokenError("is a PNG without exactly one header at its start")
    if b"acTL" in names:
        raise _BrokenError("is animated; send one of its frames")
    if b"IDAT" not in names or names[-1] != b"IEND":
        raise _BrokenError("is cut off: a PNG has to end with IEND")
    return int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big")


def _png_chunks(encoded: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Names of chunks up to the first IEND, with the data of the short ones."""
    at, name = 8, b""
    while name != b"IEND":
        length, name = int.from_bytes(encoded[at : at + 4], "big"), encoded[at + 4 : at + 8]
        if at + 12 + length > len(encoded):
            raise _BrokenError("is cut off: a PNG has to end with IEND")
        yield name, encoded[at + 8 : at + 8 + length] if length < 64 else b""
        at += 12 + length


def _jpeg_size(encoded: bytes) -> Size:
    sizes = []
    for marker, data in _jpeg_segments(encoded):
        if marker in _JPEG_FRAMES:
            sizes.append((int.from_bytes(data[3:5], "big"), int.from_bytes(data[1:3], "big")))
    if len(sizes) != 1:
        raise _BrokenError("is a JPEG without exactly one frame header before its data")
    return sizes[0]


_JPEG_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_SCAN: Final = 0xDA


def _jpeg_segments(encoded: bytes) -> Iterator[tuple[int, bytes]]:
    """Markers and their data up to the first scan, after which the end marker has to come."""
    at = 2
    while True:
        while encoded[at : at + 2] == b"\xff\xff":  # fill bytes
            at += 1
        marker, length = encoded[at + 1 : at + 2], int.from_bytes(encoded[at + 2 : at + 4], "big")
        if encoded[at : at + 1] != b"\xff" or not marker or length < 2 or at + 2 + length > len(encoded):
            raise _BrokenError("is cut off or damaged in its JPEG headers")
        if marker[0] == _JPEG_SCAN:
            break
        yield marker[0], encoded[at + 4 : at + 2 + length]
        at += 2 + length
    if encoded.find(b"\xff\xd9", at) < 0:  # never part of a scan, where ff is followed by 00
        raise _BrokenError("is cut off: a JPEG has to end with its end marker")


def _webp_size(encoded: bytes) -> Size:
    canvas, frames = None, []
    for name, data in _webp_chunks(encoded):
        if name == b"VP8X" and len(data) >= 10:
            canvas = _webp_canvas(data)
        elif name in (b"ANIM", b"ANMF"):
            raise _BrokenError("is animated; send one of its frames")
        elif name in (b"VP8 ", b"VP8L"):
            frames.append(_vp8_size(data) if name == b"VP8 " else _vp8l_size(data))
    if len(frames) != 1 or (canvas or frames[0]) != frames[0]:
        raise _BrokenError("is a WebP file without exactly one frame of the size that it states")
    return frames[0]


def _webp_chunks(encoded: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Names of chunks with the first bytes of their data."""
    end, at = 8 + int.from_bytes(encoded[4:8], "little"), 12
    if end > len(encoded):
        raise _BrokenError("is cut off: its WebP header promises more bytes")
    while at + 8 <= end:
        length = int.from_bytes(encoded[at + 4 : at + 8], "little")
        if at + 8 + length > end:
            raise _BrokenError("is cut off inside a WebP chunk")
        yield encoded[at : at + 4], encoded[at + 8 : at + 8 + min(length, 16)]
        at += 8 + length + length % 2


def _webp_canvas(data: bytes) -> Size:
    return 1 + int.from_bytes(data[4:7], "little"), 1 + int.from_bytes(data[7:10], "little")


def _vp8_size(data: bytes) -> Size:
    if data[3:6] != b"\x9d\x01\x2a" or len(data) < 10:
        raise _BrokenError("has a damaged WebP frame")
    return int.from_bytes(data[6:8], "little") & 0x3FFF, int.from_bytes(data[8:10], "little") & 0x3FFF


def _vp8l_size(data: bytes) -> Size:
    if data[:1] != b"\x2f" or len(data) < 5:
        raise _BrokenError("has a damaged WebP frame")
    bits = int.from_bytes(data[1:5], "little")
    return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
