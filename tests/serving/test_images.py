from __future__ import annotations

import base64
import io
import struct
import tracemalloc
import zlib
from typing import Any

import pytest
from gateway_server import data_uri, picture
from PIL import Image as Pillow

from kpray.serving.errors import ApiError
from kpray.serving.images import from_bytes, from_data_uri
from kpray.serving.types import Image

KINDS: list[tuple[str, dict[str, Any]]] = [
    ("PNG", {}),
    ("JPEG", {}),
    ("JPEG", {"progressive": True}),
    ("WEBP", {}),
    ("WEBP", {"lossless": True}),
    ("WEBP", {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"}),
]


def check(encoded: bytes, *, most_bytes: int = 10**6, most_pixels: int = 10**6) -> Image:
    return from_bytes(encoded, most_bytes=most_bytes, most_pixels=most_pixels, param="here")


def refused(encoded: bytes, **limits: int) -> ApiError:
    with pytest.raises(ApiError) as raised:
        check(encoded, **limits)
    assert raised.value.param == "here"
    return raised.value


def png(width: int, height: int, *chunks: bytes) -> bytes:
    """A PNG of hardly any bytes, whatever its size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join((chunk(b"IHDR", header), *chunks, chunk(b"IDAT", b""), chunk(b"IEND", b"")))


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def frames(kind: str) -> bytes:
    file = io.BytesIO()
    colours = [Pillow.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    colours[0].save(file, kind, save_all=True, append_images=colours[1:])
    return file.getvalue()


@pytest.mark.parametrize(("kind", "options"), KINDS)
@pytest.mark.parametrize("size", [(1, 1), (64, 48), (513, 7)])
def test_the_header_tells_what_pillow_decodes(kind: str, options: dict[str, Any], size: tuple[int, int]) -> None:
    image = check(picture(*size, kind, **options))
    with Pillow.open(io.BytesIO(image.encoded)) as decoded:
        decoded.load()
        assert (image.width, image.height) == decoded.size == size
        assert image.media_type == Pillow.MIME[kind]


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_a_file_cut_off_anywhere_is_refused(kind: str, options: dict[str, Any]) -> None:
    whole = picture(64, 48, kind, **options)
    for length in range(0, len(whole) - 2, max(1, len(whole) // 97)):
        assert refused(whole[:length]).status == 400


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_a_damaged_file_is_refused_or_measured(kind: str, options: dict[str, Any]) -> None:
    whole = picture(40, 30, kind, **options)
    for place in range(min(len(whole), 700)):
        damaged = whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :]
        status, pixels = outcome(damaged)
        assert status in (200, 400, 413)
        assert pixels <= 10**6


def outcome(encoded: bytes) -> tuple[int, int]:
    """Status and pixels."""
    try:
        image = check(encoded)
    except ApiError as error:
        return error.status, 0
    return 200, image.width * image.height


def test_bytes_after_the_end_do_no_harm() -> None:
    for kind in ("JPEG", "PNG", "WEBP"):
        assert check(picture(64, 48, kind) + b"a camera's notes").width == 64


@pytest.mark.parametrize(
    ("encoded", "words"),
    [
        (b"", "none of JPEG, PNG and WebP"),
        (b"GIF89a" + bytes(40), "none of JPEG, PNG and WebP"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "none of JPEG, PNG and WebP"),
        (frames("PNG"), "animated"),
        (frames("WEBP"), "animated"),
        (png(0, 5), "0 x 5"),
        (png(1, 201), "200 times"),
        (png(8, 8, chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0))), "exactly one header"),
    ],
)
def test_what_is_no_picture_is_refused(encoded: bytes, words: str) -> None:
    error = refused(encoded)
    assert error.status == 400
    assert words in error.message


def test_a_second_size_in_a_jpeg_is_refused() -> None:
    whole = picture(40, 30, "JPEG")
    frame = b"\xff\xc0\x00\x0b\x08\xea\x60\xea\x60\x01\x01\x11\x00"
    at = whole.index(b"\xff\xdb")
    assert "exactly one frame header" in refused(whole[:at] + frame + whole[at:]).message


def test_a_webp_whose_frame_is_larger_than_its_canvas_is_refused() -> None:
    whole = bytearray(picture(64, 48, "WEBP", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"))
    assert whole[12:16] == b"VP8X"
    whole[24:30] = bytes([9, 0, 0, 9, 0, 0])
    assert "exactly one frame" in refused(bytes(whole)).message


@pytest.mark.parametrize("bomb", [png(50_000, 50_000), png(2**31 - 1, 2**31 - 1)])
def test_a_decompression_bomb_is_refused_without_memory(bomb: bytes) -> None:
    tracemalloc.start()
    try:
        assert refused(bomb).status == 413
        assert tracemalloc.get_traced_memory()[1] < 10**6
    finally:
        tracemalloc.stop()


def test_limits_hold_exactly() -> None:
    encoded = picture(100, 50)
    assert check(encoded, most_bytes=len(encoded), most_pixels=5000).height == 50
    assert refused(encoded, most_bytes=len(encoded) - 1).status == 413
    assert refused(encoded, most_pixels=4999).status == 413


def test_a_data_uri_counts_by_its_content() -> None:
    limits: Any = {"most_bytes": 10**6, "most_pixels": 10**6, "param": "here"}
    assert from_data_uri(data_uri(picture(), "image/gif"), **limits).media_type == "image/png"
    assert from_data_uri(data_uri(picture(), "").replace("data:", "DATA:"), **limits).width == 64


@pytest.mark.parametrize(
    ("uri", "status"),
    [
        ("data:", 400),
        ("data:image/png,abc", 400),
        ("data:image/png;base64,", 400),
        ("data:image/png;base64,####", 400),
        ("data:image/png;base64,iVBORw0KGgo", 400),
        ("data:image/png;base64,aé==", 400),
        ("data:image/png;base64," + "A" * 4000, 413),
    ],
)
def test_a_broken_data_uri_is_refused(uri: str, status: int) -> None:
    with pytest.raises(ApiError) as raised:
        from_data_uri(uri, most_bytes=2000, most_pixels=10**6, param="here")
    assert raised.value.status == status


def test_a_picture_of_exactly_the_limit_passes_as_data_uri() -> None:
    encoded = picture()
    for padding in range(3):
        padded = encoded + bytes(padding)
        uri = f"data:image/png;base64,{base64.b64encode(padded).decode()}"
        from_data_uri(uri, most_bytes=len(padded), most_pixels=10**6, param="here")
        with pytest.raises(ApiError):
            from_data_uri(uri, most_bytes=len(padded) - 1, most_pixels=10**6, param="here")
