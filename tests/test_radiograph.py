"""Reading: every mode against Pillow, every refusal as one line, nothing else ever raised."""

from __future__ import annotations

import io
import random
import struct
import time
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from pneumoscope.core.errors import RadiographError
from pneumoscope.core.types import GreyImage
from pneumoscope.imaging import exif
from pneumoscope.imaging.radiograph import Limits, Radiograph, read_radiograph

PNG = b"\x89PNG\r\n\x1a\n"


def scene(height: int = 40, width: int = 56, channels: int = 1) -> NDArray[np.uint8]:
    """`[height, width]` or `[height, width, channels]`: smooth, asymmetric, channels differ."""
    y, x = np.mgrid[:height, :width]
    layers = [
        127 + 60 * np.sin(x / (5 + 3 * channel) + 0.1) + 60 * np.cos(y / (9 - 2 * channel))
        for channel in range(channels)
    ]
    stacked: NDArray[np.float64] = np.clip(np.stack(layers, axis=-1), 0, 255)
    return (stacked[:, :, 0] if channels == 1 else stacked).astype(np.uint8)


def saved(image: Image.Image, format_name: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_name, **options)
    return buffer.getvalue()


def grey_jpeg(**options: Any) -> bytes:
    return saved(Image.fromarray(scene()), "JPEG", **options)


def grey_png(**options: Any) -> bytes:
    return saved(Image.fromarray(scene()), "PNG", **options)


def chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def png(
    width: int,
    height: int,
    rows: bytes,
    *,
    depth: int = 8,
    colour: int = 0,
    extra: tuple[tuple[bytes, bytes], ...] = (),
) -> bytes:
    """A PNG written by hand; `rows` holds whole scan lines without their filter byte."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    stride = len(rows) // height
    lines = b"".join(b"\0" + rows[i : i + stride] for i in range(0, len(rows), stride))
    between = b"".join(chunk(kind, content) for kind, content in extra)
    tail = chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    return PNG + chunk(b"IHDR", header) + between + tail


def pillow_grey(content: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(content)) as image:
        upright = ImageOps.exif_transpose(image)
        colour = upright.convert("RGB") if upright.mode == "CMYK" else upright
        return np.array(colour.convert("L"))


def difference(left: GreyImage, right: GreyImage) -> int:
    assert left.shape == right.shape
    return int(np.abs(left.astype(np.int64) - right).max())


def refused(source: Path | bytes, **options: Any) -> str:
    with pytest.raises(RadiographError) as caught:
        read_radiograph(source, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


# What is stored


def test_eight_bit_grey_png_comes_back_as_stored() -> None:
    radiograph = read_radiograph(grey_png())
    np.testing.assert_array_equal(radiograph.pixels, scene())
    assert (radiograph.bits, radiograph.photometric, radiograph.format) == (8, "L", "png")
    assert (radiograph.height, radiograph.width) == (40, 56)
    assert radiograph.pixels.dtype == np.uint8
    assert radiograph.pixels.flags.c_contiguous
    assert radiograph.pixels.flags.writeable


def test_sixteen_bit_grey_png_keeps_its_depth() -> None:
    stored = scene().astype(np.uint16) * 257 - 3
    radiograph = read_radiograph(saved(Image.fromarray(stored), "PNG"))
    np.testing.assert_array_equal(radiograph.pixels, stored)
    assert (radiograph.bits, radiograph.photometric) == (16, "I;16")
    assert radiograph.pixels.dtype == np.uint16


def test_one_bit_png_becomes_black_and_white() -> None:
    stored = scene() > 128
    radiograph = read_radiograph(saved(Image.fromarray(stored), "PNG"))
    np.testing.assert_array_equal(radiograph.pixels, stored * np.uint8(255))
    assert (radiograph.bits, radiograph.photometric) == (8, "1")


@pytest.mark.parametrize(("depth", "spread"), [(2, 85), (4, 17)])
def test_low_bit_grey_is_spread_over_the_full_range(depth: int, spread: int) -> None:
    levels = np.arange(8 * 16).reshape(8, 16) % 2**depth
    per_byte = 8 // depth
    grouped = levels.reshape(8, -1, per_byte)
    packed = sum(grouped[:, :, i] << (depth * (per_byte - 1 - i)) for i in range(per_byte))
    content = png(16, 8, np.asarray(packed).astype(np.uint8).tobytes(), depth=depth)
    np.testing.assert_array_equal(read_radiograph(content).pixels, levels * spread)


def test_rgb_png_becomes_luma_as_pillow_computes_it() -> None:
    stored = scene(channels=3)
    content = saved(Image.fromarray(stored), "PNG")
    radiograph = read_radiograph(content)
    assert radiograph.photometric == "RGB"
    np.testing.assert_array_equal(radiograph.pixels, pillow_grey(content))
    luma = stored @ np.array([0.299, 0.587, 0.114])
    assert np.abs(radiograph.pixels - luma).max() <= 0.51


def test_grey_stored_as_rgb_is_exact() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    content = saved(Image.fromarray(np.stack([levels] * 3, axis=-1)), "PNG")
    np.testing.assert_array_equal(read_radiograph(content).pixels, levels)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_alpha_lies_on_black(mode: str) -> None:
    stored = scene(channels=len(mode))
    stored[:8, :, -1], stored[8:16, :, -1] = 255, 0
    radiograph = read_radiograph(saved(Image.fromarray(stored), "PNG"))
    luma = np.array(Image.fromarray(stored[:, :, :-1].squeeze()).convert("L"))
    expected = np.rint(luma * (stored[:, :, -1] / 255.0)).astype(np.uint8)
    assert radiograph.photometric == mode
    np.testing.assert_array_equal(radiograph.pixels[:8], luma[:8])
    assert not radiograph.pixels[8:16].any()
    assert difference(radiograph.pixels, expected) <= 1


def test_palette_is_looked_up() -> None:
    image = Image.fromarray(scene(channels=3)).quantize(64)
    content = saved(image, "PNG")
    radiograph = read_radiograph(content)
    assert radiograph.photometric == "P"
    np.testing.assert_array_equal(radiograph.pixels, np.array(image.convert("RGB").convert("L")))


@pytest.mark.parametrize("transparency", [3, bytes([255, 128, 0] + [255] * 13)])
def test_palette_transparency_lies_on_black(transparency: int | bytes) -> None:
    image = Image.fromarray(scene() // 16)
    image.putpalette([level for entry in range(16) for level in [entry * 16 + 9] * 3])
    radiograph = read_radiograph(saved(image, "PNG", transparency=transparency))
    indices = scene() // 16
    expected = indices * 16 + 9
    if isinstance(transparency, int):
        expected[indices == transparency] = 0
    else:
        expected = np.rint(expected * (np.frombuffer(transparency, np.uint8)[indices] / 255.0))
    assert expected.max() > expected.min()
    assert difference(radiograph.pixels, expected.astype(np.uint8)) <= 1


def test_the_transparent_colour_of_grey_png_is_black() -> None:
    rows = bytes([10, 20, 30, 40] * 16)
    content = png(8, 8, rows, extra=((b"tRNS", b"\0\x1e"),))
    expected = np.array([10, 20, 0, 40] * 16).reshape(8, 8)
    np.testing.assert_array_equal(read_radiograph(content).pixels, expected)


def test_the_transparent_colour_of_four_bit_grey_is_in_four_bits() -> None:
    content = png(8, 8, bytes([0x12, 0x34] * 16), depth=4, extra=((b"tRNS", b"\0\x03"),))
    expected = np.array([17, 34, 0, 68] * 16).reshape(8, 8)
    np.testing.assert_array_equal(read_radiograph(content).pixels, expected)


def test_the_transparent_colour_of_one_bit_png_is_black() -> None:
    content = png(8, 8, bytes([0b10101010] * 8), depth=1, extra=((b"tRNS", b"\0\x01"),))
    assert not read_radiograph(content).pixels.any()


def test_the_transparent_colour_of_sixteen_bit_grey_is_black() -> None:
    stored = np.full((8, 8), 5000, dtype=">u2")
    stored[2] = 6000
    extra = ((b"tRNS", struct.pack(">H", 5000)),)
    pixels = read_radiograph(png(8, 8, stored.tobytes(), depth=16, extra=extra)).pixels
    np.testing.assert_array_equal(pixels, np.where(stored == 5000, 0, 6000))


def test_the_transparent_colour_of_rgb_is_black_where_all_three_agree() -> None:
    rows = bytes([9, 9, 9] + [9, 9, 8] * 7) * 8
    extra = ((b"tRNS", struct.pack(">HHH", 9, 9, 9)),)
    pixels = read_radiograph(png(8, 8, rows, colour=2, extra=extra)).pixels
    assert not pixels[:, 0].any()
    assert (pixels[:, 1:] == 9).all()


def test_interlaced_png_is_read() -> None:
    content = bytearray(png(8, 8, bytes(64)))
    # One pass of Adam7 is enough to differ: an 8 x 8 image has 15 lines in seven passes.
    content[28] = 1
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    lines = [(1, 1), (1, 1), (1, 2), (2, 2), (2, 4), (4, 4), (4, 8)]
    data = b"".join((b"\0" + bytes([50]) * width) * height for height, width in lines)
    start = content.index(b"IDAT") - 4
    whole = bytes(content[:start]) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    assert (read_radiograph(whole).pixels == 50).all()


# JPEG


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"quality": 40, "optimize": True}])
def test_grey_jpeg_is_what_pillow_decodes(options: dict[str, Any]) -> None:
    content = grey_jpeg(**options)
    radiograph = read_radiograph(content)
    assert (radiograph.bits, radiograph.photometric, radiograph.format) == (8, "L", "jpeg")
    assert radiograph.pixels.flags.c_contiguous
    assert difference(radiograph.pixels, pillow_grey(content)) == 0


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("progressive", [False, True])
def test_colour_jpeg_agrees_with_pillow(subsampling: str, *, progressive: bool) -> None:
    image = Image.fromarray(scene(41, 57, channels=3))
    content = saved(image, "JPEG", subsampling=subsampling, progressive=progressive)
    radiograph = read_radiograph(content)
    assert radiograph.photometric == "RGB"
    assert difference(radiograph.pixels, pillow_grey(content)) <= 1


def test_jpeg_that_stores_red_green_blue_agrees_with_pillow() -> None:
    content = saved(Image.fromarray(scene(channels=3)), "JPEG", keep_rgb=True)
    assert difference(read_radiograph(content).pixels, pillow_grey(content)) <= 1


@pytest.mark.parametrize("transform", [0, 2], ids=["CMYK", "YCCK"])
def test_four_component_jpeg_is_inverted_as_adobe_does(transform: int) -> None:
    stored = scene(channels=4)
    image = Image.frombytes("CMYK", (56, 40), stored.tobytes())
    content = bytearray(saved(image, "JPEG"))
    content[content.index(b"Adobe") + 11] = transform
    radiograph = read_radiograph(bytes(content))
    assert radiograph.photometric == "CMYK"
    assert difference(radiograph.pixels, pillow_grey(bytes(content))) <= 1
    assert radiograph.pixels.std() > 5


def test_white_in_cmyk_is_white() -> None:
    content = saved(Image.new("CMYK", (16, 16), (0, 0, 0, 0)), "JPEG")
    assert (read_radiograph(content).pixels >= 254).all()


@pytest.mark.parametrize("sampling", [0x14, 0x31])
def test_sampling_without_a_name_is_left_to_pillow(sampling: int) -> None:
    simplejpeg = pytest.importorskip("simplejpeg")
    image = Image.fromarray(scene(64, 96, channels=3))
    block = b"Exif\0\0" + tiff_block(6, "<")
    content = bytearray(saved(image, "JPEG", keep_rgb=True, exif=block))
    content[content.index(b"\xff\xc0") + 11] = sampling
    with pytest.raises((ValueError, KeyError)):
        simplejpeg.decode_jpeg_header(bytes(content))
    pixels = read_radiograph(bytes(content)).pixels
    assert pixels.shape == (96, 64)
    np.testing.assert_array_equal(pixels, pillow_grey(bytes(content)))
    assert "96 x 64" in refused(bytes(content), limits=Limits(max_pixels=1000))


# Orientation


def tiff_block(orientation: int, order: str, *, kind: int = 3) -> bytes:
    start = b"II*\0" if order == "<" else b"MM\0*"
    value = struct.pack(f"{order}HH", orientation, 0) if kind == 3 else b""
    value = value or struct.pack(f"{order}I", orientation)
    entries = struct.pack(f"{order}HHHI", 2, 0x0100, 4, 1) + struct.pack(f"{order}I", 56)
    entries += struct.pack(f"{order}HHI", 0x0112, kind, 1) + value
    return start + struct.pack(f"{order}I", 8) + entries + struct.pack(f"{order}I", 0)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_orientation_is_applied_once(orientation: int, order: str, channels: int) -> None:
    image = Image.fromarray(scene(channels=channels))
    block = b"Exif\0\0" + tiff_block(orientation, order)
    content = saved(image, "JPEG", exif=block, subsampling=0)
    pixels = read_radiograph(content).pixels
    assert difference(pixels, pillow_grey(content)) <= 1
    assert pixels.shape == ((40, 56) if orientation < 5 else (56, 40))
    assert pixels.flags.c_contiguous


@pytest.mark.parametrize("orientation", range(1, 9))
def test_png_orientation_is_applied_once(orientation: int) -> None:
    content = grey_png(exif=tiff_block(orientation, "<"))
    np.testing.assert_array_equal(read_radiograph(content).pixels, pillow_grey(content))


def test_orientation_may_be_a_long() -> None:
    content = grey_jpeg(exif=b"Exif\0\0" + tiff_block(6, ">", kind=4))
    assert read_radiograph(content).pixels.shape == (56, 40)


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"II*\0",
        b"II*\0\xff\xff\xff\xff",
        b"XX*\0" + bytes(20),
        tiff_block(0, "<"),
        tiff_block(9, "<"),
        tiff_block(6, "<")[:20],
        tiff_block(6, "<", kind=2),
    ],
)
def test_damaged_orientation_means_upright_without_a_warning(block: bytes) -> None:
    plain = read_radiograph(grey_jpeg()).pixels
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pixels = read_radiograph(grey_jpeg(exif=b"Exif\0\0" + block)).pixels
    np.testing.assert_array_equal(pixels, plain)
    assert not caught
    assert exif.orientation(block) == 1


# Where it comes from


def test_content_decides_never_the_name(tmp_path: Path) -> None:
    for content, suffix, expected in ((grey_png(), ".jpg", "png"), (grey_jpeg(), ".dcm", "jpeg")):
        path = tmp_path / f"image{suffix}"
        path.write_bytes(content)
        assert read_radiograph(path).format == expected


def test_path_and_bytes_give_the_same(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(grey_png())
    np.testing.assert_array_equal(read_radiograph(path).pixels, read_radiograph(grey_png()).pixels)


def test_messages_begin_with_the_name(tmp_path: Path) -> None:
    path = tmp_path / "chest one.png"
    path.write_bytes(b"nothing")
    assert refused(path).startswith(f"{path}: ")
    assert refused(path, name="upload").startswith("upload: ")
    assert refused(b"nothing").startswith("radiograph: ")
    assert refused(b"nothing", name="two\nlines").startswith("two lines: ")


def test_missing_folders_and_empty_files_are_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty.png"
    empty.touch()
    assert "No such file" in refused(tmp_path / "missing.png")
    assert "not a file" in refused(tmp_path)
    assert "is empty" in refused(empty)
    assert "damaged" in refused(Path("with\0null"))


def test_unknown_content_names_what_is_supported() -> None:
    message = refused(b"<html><body>not found</body></html>")
    assert "PNG, JPEG" in message
    assert "<html>" in message


# Limits


def test_files_too_large_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(grey_png())
    size = path.stat().st_size
    assert f"{size:,} bytes" in refused(path, limits=Limits(max_bytes=size - 1))
    assert f"{size:,} bytes" in refused(grey_png(), limits=Limits(max_bytes=size - 1))
    assert read_radiograph(path, limits=Limits(max_bytes=size)).width == 56


@pytest.mark.parametrize("content", [grey_png(), grey_jpeg()], ids=["png", "jpeg"])
def test_pixel_limits_hold_for_each_format(content: bytes) -> None:
    assert read_radiograph(content, limits=Limits(max_pixels=40 * 56)).width == 56
    assert "56 x 40" in refused(content, limits=Limits(max_pixels=40 * 56 - 1))
    assert read_radiograph(content, limits=Limits(min_side=40)).width == 56
    assert "41 or more" in refused(content, limits=Limits(min_side=41))


def bomb_png() -> bytes:
    return png(60_000, 60_000, bytes(60_000), depth=8)


def bomb_jpeg() -> bytes:
    content = bytearray(grey_jpeg())
    frame = content.index(b"\xff\xc0")
    content[frame + 5 : frame + 9] = struct.pack(">HH", 60_000, 60_000)
    return bytes(content)


@pytest.mark.parametrize("make", [bomb_png, bomb_jpeg])
def test_a_promise_of_too_many_pixels_is_refused_at_once(make: Callable[[], bytes]) -> None:
    content = make()
    begun = time.perf_counter()
    message = refused(content)
    assert time.perf_counter() - begun < 0.1
    assert "60000 x 60000" in message
    assert "100,000,000" in message


def test_large_but_allowed_images_raise_no_alarm_in_pillow() -> None:
    # Pillow warns from 89 million pixels on; the limit here is 100 million.
    side = 9_600
    lines = zlib.compress(bytes(side * (side // 8 + 1)), 1)
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    content = PNG + chunk(b"IHDR", header) + chunk(b"IDAT", lines) + chunk(b"IEND", b"")
    assert read_radiograph(content).pixels.shape == (side, side)


def test_a_second_header_does_not_escape_the_limits() -> None:
    other = struct.pack(">IIBBBBB", 5_000, 5_000, 8, 0, 0, 0, 0)
    content = png(8, 8, bytes(64), extra=((b"IHDR", other),))
    assert "header" in refused(content, limits=Limits(max_pixels=1000))


# Refusals of PNG


def test_animated_png_is_refused() -> None:
    frames = [Image.fromarray(scene()), Image.fromarray(255 - scene())]
    content = saved(frames[0], "PNG", save_all=True, append_images=frames[1:])
    assert "animated" in refused(content)


def test_text_that_would_inflate_is_never_inflated() -> None:
    text = b"Comment\0\0" + zlib.compress(bytes(20_000_000), 9)
    content = png(8, 8, bytes([7]) * 64, extra=((b"zTXt", text),))
    with pytest.raises(ValueError, match="too large"):
        Image.open(io.BytesIO(content)).load()
    assert (read_radiograph(content).pixels == 7).all()


def test_sixteen_bit_colour_is_refused_with_the_remedy() -> None:
    message = refused(png(8, 8, bytes(8 * 8 * 6), depth=16, colour=2))
    assert "16-bit colour" in message
    assert "Save it as grey" in message


def test_unknown_critical_parts_are_refused() -> None:
    assert "CgBI" in refused(png(8, 8, bytes(64), extra=((b"CgBI", b"\0\0\0\0"),)))


def test_a_flood_of_empty_chunks_is_refused() -> None:
    header = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)
    content = PNG + chunk(b"IHDR", header) + chunk(b"IDAT", b"") * 100_001
    assert "chunks" in refused(content)


def test_a_changed_byte_of_the_picture_is_noticed() -> None:
    content = bytearray(grey_png())
    place = content.index(b"IDAT") + 40
    content[place] ^= 1
    assert "checksum of IDAT" in refused(bytes(content))


def test_a_palette_image_without_its_palette_is_refused() -> None:
    refused(png(8, 8, bytes(64), colour=3))


# Refusals of JPEG


def test_scans_without_end_are_refused() -> None:
    content = grey_jpeg()
    scan = content.index(b"\xff\xda")
    assert "scans" in refused(content[:-2] + content[scan:-2] * 101 + content[-2:])


def test_a_jpeg_without_image_data_is_refused() -> None:
    content = grey_jpeg()
    cut = content[: content.index(b"\xff\xc4")]
    assert "before its image data" in refused(cut)
    assert "before its image data" in refused(cut + b"\xff\xd9")


def test_a_jpeg_cut_and_closed_again_is_refused() -> None:
    content = saved(Image.fromarray(scene(200, 200)), "JPEG")
    cut = content[: len(content) // 2] + b"\xff\xd9"
    Image.open(io.BytesIO(cut)).load()  # Pillow fills it up with grey
    assert "premature end" in refused(cut)


# Whatever happens, one kind of error


def corpus() -> dict[str, bytes]:
    colour = Image.fromarray(scene(24, 32, channels=3))
    grey = Image.fromarray(scene(24, 32))
    block = b"Exif\0\0" + tiff_block(6, "<")
    return {
        "png": saved(grey, "PNG"),
        "png16": saved(Image.fromarray(scene(24, 32).astype(np.uint16) * 99), "PNG"),
        "palette": saved(colour.quantize(16), "PNG", transparency=3),
        "rgba": saved(Image.fromarray(scene(24, 32, channels=4)), "PNG", exif=block[6:]),
        "jpeg": saved(grey, "JPEG", exif=block),
        "progressive": saved(colour, "JPEG", progressive=True, exif=block),
        "cmyk": saved(colour.convert("CMYK"), "JPEG"),
    }


@pytest.mark.parametrize(("kind", "content"), corpus().items(), ids=corpus().keys())
def test_truncated_files_are_refused_wherever_they_end(kind: str, content: bytes) -> None:
    for length in {*range(0, len(content), 5), len(content) - 2, len(content) - 1}:
        message = refused(content[:length], name=kind)
        assert message.startswith(f"{kind}: ")


def mutated(content: bytes, draw: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(draw.randint(1, 4)):
        place = draw.randrange(min(len(changed), draw.choice([40, 200, 10_000])))
        action = draw.randrange(4)
        if action == 0:
            changed[place] = draw.randrange(256)
        elif action == 1:
            changed[place] ^= 1 << draw.randrange(8)
        elif action == 2:
            del changed[place : place + draw.randint(1, 9)]
        else:
            changed[place:place] = draw.randbytes(draw.randint(1, 9))
    return bytes(changed)


def with_checksums(content: bytes) -> bytes:
    """The PNG with right checksums, so that a change reaches what lies behind them."""
    repaired, start = bytearray(content), 8
    while start + 12 <= len(repaired):
        end = start + 8 + int.from_bytes(repaired[start : start + 4], "big")
        if end + 4 > len(repaired):
            break
        repaired[end : end + 4] = struct.pack(">I", zlib.crc32(repaired[start + 4 : end]))
        start = end + 4
    return bytes(repaired)


@pytest.mark.parametrize(("kind", "content"), corpus().items(), ids=corpus().keys())
def test_damage_gives_pixels_or_one_kind_of_error(kind: str, content: bytes) -> None:
    draw = random.Random(kind)
    limits = Limits(max_pixels=200_000, min_side=1)
    reasons: list[str | None] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for attempt in range(1000):
            damaged = mutated(content, draw)
            if attempt % 2 and damaged.startswith(PNG):
                damaged = with_checksums(damaged)
            try:
                radiograph = read_radiograph(damaged, limits=limits, name=kind)
            except RadiographError as error:
                reasons.append(str(error))
            else:
                assert radiograph.width * radiograph.height <= limits.max_pixels
                reasons.append(None)
    assert not caught
    assert None in reasons
    refusals = [reason for reason in reasons if reason]
    assert len(refusals) > 100
    assert all(reason.startswith(f"{kind}: ") and "\n" not in reason for reason in refusals)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        Image.DecompressionBombError("bomb"),
        Image.DecompressionBombWarning("bomb"),
        UnidentifiedImageError("what"),
        SyntaxError("broken"),
        struct.error("short"),
        zlib.error("bad"),
        EOFError(),
        OSError("image file is truncated"),
        PermissionError(13, "Permission denied"),
        KeyError(6),
        RecursionError("deep"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_every_error_of_a_decoder_is_translated(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Image.Image) -> None:
        raise error

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fail)
    message = refused(grey_png(), name="image.png")
    assert message.startswith("image.png: ")
    assert len(message) > len("image.png: ") + 10


def test_threads_read_what_one_reads() -> None:
    contents = [*corpus().values()] * 8
    alone = [read_radiograph(content).pixels for content in contents]
    with ThreadPoolExecutor(4) as pool:
        together = [radiograph.pixels for radiograph in pool.map(read_radiograph, contents)]
    for left, right in zip(alone, together, strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((4, 4, 3), np.uint8), np.zeros((0, 4), np.uint8), np.zeros((4, 4), np.float32)],
)
def test_a_radiograph_is_two_dimensional_and_whole(pixels: GreyImage) -> None:
    with pytest.raises(RadiographError, match="allowed"):
        Radiograph(pixels, bits=8, photometric="L", format="png")


@pytest.mark.parametrize(
    ("colour", "expected"), [((200, 100, 50), 150.0), ((90, 90, 90), 0.0), ((10, 0, 0), 10.0)]
)
def test_colour_is_told_from_grey_stored_as_colour(
    colour: tuple[int, int, int], expected: float
) -> None:
    picture = saved(Image.new("RGB", (30, 20), colour), "PNG")
    assert read_radiograph(picture).colour == expected
    assert read_radiograph(saved(Image.new("L", (30, 20), 7), "PNG")).colour == 0


def test_a_coloured_patch_is_seen_and_transparency_does_not_matter() -> None:
    image = Image.new("RGBA", (200, 100), (50, 50, 50, 255))
    image.paste((250, 50, 50, 255), (0, 0, 20, 100))
    whole = read_radiograph(saved(image, "PNG")).colour
    assert whole == pytest.approx(20, abs=1)
    palette = read_radiograph(saved(image.convert("RGB").quantize(4), "PNG")).colour
    assert palette == pytest.approx(20, abs=1)
