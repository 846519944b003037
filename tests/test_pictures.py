import base64
import json
import re
import threading
import time
import zlib
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mnistapi.problems import Problem
from predictions import pictures
from predictions.endpoints import Endpoint
from predictions.forms import decode_json, decode_multipart, decode_picture, may_have_pictures
from predictions.images import MAX_IMAGES, Sent
from predictions.multipart import without_boundary
from predictions.pictures import MAX_PIXELS, MAX_SCANS, TURNS
from tests.calls import filled
from tests.pictures import MULTIPART, THREE, animation, black_png, chunk, form, jpeg, png

FLAT = THREE.ravel().tolist()
AS_NUMBERS = decode_json(json.dumps(FLAT).encode()).images
# As on paper, of a size at which nothing is lost.
LARGE = Image.fromarray(255 - THREE).resize((280, 280), Image.Resampling.BOX)
GREY = np.asarray(LARGE)


def decoded(file: bytes) -> Any:
    return decode_picture(file).images[0, :, :, 0]


def problem(file: bytes) -> Problem:
    with pytest.raises(Problem) as caught:
        decode_picture(file)
    return caught.value


def base64_of(file: bytes) -> str:
    return base64.b64encode(file).decode()


def stacked(*channels: Any) -> Any:
    return np.dstack([np.broadcast_to(channel, GREY.shape) for channel in channels]).astype(
        np.uint8
    )


def with_alpha(light: int) -> Any:
    """Ink of that lightness on a transparent ground, under which the colour is that of the ink."""
    return stacked(light, light, light, 255 - GREY)


@pytest.mark.parametrize(
    "file", [png(THREE), png(255 - THREE), jpeg(THREE), jpeg(255 - THREE)], ids=str
)
def test_a_picture_of_28_by_28_is_what_its_numbers_are(file: bytes) -> None:
    atol = 0.01 if file.startswith(b"\x89PNG") else 0.1
    np.testing.assert_allclose(decoded(file), AS_NUMBERS[0, :, :, 0], atol=atol)


def cut_out(side: int) -> Any:
    """A sheet of which nothing is transparent, in the middle of a canvas that is."""
    canvas = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    canvas.paste(LARGE.convert("RGBA"), ((side - 280) // 2,) * 2)
    return canvas


MODES = {
    "grey": png(LARGE),
    "RGB": png(LARGE.convert("RGB")),
    "colours of a palette": png(LARGE.convert("P")),
    "four bits": png(LARGE.convert("RGB").quantize(16), bits=4),
    "grey and alpha": png(LARGE.convert("LA")),
    "RGBA": png(LARGE.convert("RGBA")),
    "sixteen bits": png(Image.fromarray(GREY.astype(np.uint16) * 256)),
    "interlaced": png(LARGE, interlace=1),
    "JPEG": jpeg(LARGE),
    "JPEG in colours": jpeg(LARGE.convert("RGB")),
    "JPEG in CMYK": jpeg(LARGE.convert("CMYK")),
    "progressive JPEG": jpeg(LARGE.convert("RGB"), progressive=True),
    "dark ink on nothing": png(with_alpha(0)),
    "light ink on nothing": png(with_alpha(255)),
    "a sheet of half of the canvas": png(cut_out(400)),
    "a sheet of a sixth of the canvas": png(cut_out(680)),
    "paper with a corner of nothing": png(
        stacked(
            GREY, GREY, GREY, np.where(np.add.outer(np.arange(280), np.arange(280)) < 40, 0, 255)
        )
    ),
    "a colour that is transparent": png(LARGE.convert("RGB"), transparency=(255, 255, 255)),
    "a grey that is transparent": png(
        Image.fromarray(GREY.astype(np.uint16) * 257), transparency=0
    ),
}


def test_a_stroke_without_soft_edges_is_ink_on_a_transparent_canvas() -> None:
    stroke = Image.new("L", (280, 280), 255)
    stroke.paste(150, (129, 39, 151, 241))
    stroke.paste(0, (130, 40, 150, 240))
    transparent = png(stroke.convert("RGB"), transparency=(255, 255, 255))
    np.testing.assert_allclose(decoded(transparent), decoded(png(stroke)), atol=0.01)


@pytest.mark.parametrize("mode", MODES)
def test_a_digit_is_the_same_in_every_mode(mode: str) -> None:
    assert np.abs(decoded(MODES[mode]) - decoded(png(LARGE))).mean() < 0.01


def test_nothing_at_all_is_a_blank_page() -> None:
    assert not decoded(png(np.zeros((50, 50, 4), np.uint8))).any()
    assert not decoded(png(np.full((50, 50, 4), 255, np.uint8))).any()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("saved", [png, jpeg])
def test_a_picture_is_turned_as_its_camera_says(orientation: int, saved: Any) -> None:
    upright = Image.fromarray(GREY[:, 20:])
    back = {6: TURNS[8], 8: TURNS[6]}.get(orientation, TURNS.get(orientation))
    turned = upright if back is None else upright.transpose(back)
    exif = Image.Exif()
    exif[0x0112] = orientation
    given = decoded(saved(turned, exif=exif))
    assert np.abs(given - decoded(png(upright))).mean() < 0.01


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("exif", [b"Exif\0\0nonsense", b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01"])
def test_what_a_camera_wrote_badly_is_passed_over(exif: bytes) -> None:
    np.testing.assert_allclose(decoded(jpeg(LARGE, exif=exif)), decoded(png(LARGE)), atol=0.1)


def test_a_large_picture_is_the_same_digit() -> None:
    large = LARGE.resize((2048, 2048), Image.Resampling.BICUBIC)
    for file in (png(large), jpeg(large)):
        assert np.abs(decoded(file) - decoded(png(LARGE))).mean() < 0.02


def cut_jpeg_with_a_thumbnail() -> bytes:
    exif = Image.Exif()
    exif[0x010E] = "a thumbnail \xff\xd9"
    file = jpeg(LARGE, exif=exif.tobytes() + b"\xff\xd8\xff\xd9")
    return file[: len(file) // 2]


WHOLE = jpeg(LARGE, progressive=True)
SCAN = WHOLE[WHOLE.rindex(b"\xff\xda") : -2]
UNFIT = {
    "nothing": (b"", 415, "unsupported_picture"),
    "text": (b"a digit", 415, "unsupported_picture"),
    "a GIF": (b"GIF89a" + bytes(50), 415, "unsupported_picture"),
    "SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "unsupported_picture"),
    "a PNG without its first byte": (png(THREE)[1:], 415, "unsupported_picture"),
    "a PNG that is cut off": (png(THREE)[:-20], 400, "malformed_picture"),
    "a PNG of a head": (png(THREE)[:40], 400, "malformed_picture"),
    "a PNG of a signature": (png(THREE)[:8], 400, "malformed_picture"),
    "a PNG without its middle": (
        png(GREY)[:300] + chunk(b"IEND"), 400, "malformed_picture",
    ),
    "a PNG with a changed byte": (
        png(GREY)[:200] + b"\0\0" + png(GREY)[202:], 400, "malformed_picture",
    ),
    "a JPEG that is cut off": (jpeg(LARGE)[:-200], 400, "malformed_picture"),
    "a JPEG that is cut off behind its thumbnail": (
        cut_jpeg_with_a_thumbnail(), 400, "malformed_picture",
    ),
    "a JPEG of a head": (jpeg(LARGE)[:100], 400, "malformed_picture"),
    "a JPEG of many passes": (
        WHOLE[:-2] + SCAN * MAX_SCANS + WHOLE[-2:], 400, "malformed_picture",
    ),
    "a JPEG of many pieces": (
        WHOLE[:2] + b"\xff\xe5\0\2" * 40_000 + WHOLE[2:], 400, "malformed_picture",
    ),
    "a PNG of many pieces": (
        black_png(9, 9, chunk(b"abCd") * 40_000), 400, "malformed_picture",
    ),
    "a PNG with a long comment": (
        black_png(9, 9, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**6), 9)) * 3),
        400, "malformed_picture",
    ),
    "a bomb": (black_png(9_000, 9_000), 422, "too_many_pixels"),
    "a larger bomb": (black_png(100, 9_000_000), 422, "too_many_pixels"),
    "a size that is none": (
        black_png(9, 9).replace(b"\0\0\0\x09", b"\x7f\xff\xff\xff"), 400, "malformed_picture",
    ),
    "a pixel too many": (black_png(MAX_PIXELS + 1, 1), 422, "too_many_pixels"),
    "an animation": (animation(), 422, "animated_picture"),
}  # fmt: skip
# Of these the fault shows only when their pixels are read.
DEEP = {
    "a PNG without its middle",
    "a PNG with a changed byte",
    "a JPEG that is cut off behind its thumbnail",
}


@pytest.mark.parametrize("name", UNFIT)
def test_what_is_no_fit_picture_is_refused_with_its_reason(name: str) -> None:
    file, status, code = UNFIT[name]
    found = problem(file)
    assert (found.type.status, found.type.code) == (status, code)
    assert "Image 0 " in found.detail


@pytest.mark.parametrize("name", UNFIT.keys() - DEEP)
def test_it_is_refused_before_anything_is_decoded(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("decoded"))
    problem(UNFIT[name][0])


def test_a_picture_may_have_four_megapixels_and_all_together_sixteen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pictures, "grey", lambda picture, index: np.zeros((8, 8), np.uint8))
    largest = black_png(2048, 2048)
    assert len(pictures.images_of([largest] * 4, None)) == 4
    with pytest.raises(Problem, match="together") as caught:
        pictures.images_of([largest] * 4 + [png(THREE)], None)
    assert caught.value.type.code == "too_many_pixels"


def test_the_reason_names_the_picture() -> None:
    with pytest.raises(Problem, match="Image 1 is a GIF"):
        pictures.images_of([png(THREE), b"GIF89a"], None)


def test_pictures_keep_their_order_whatever_their_size() -> None:
    files = [png(THREE), png(np.zeros((9, 9), np.uint8)), jpeg(LARGE), png(THREE), png(LARGE)]
    together = pictures.images_of(files, None)
    alone = [decode_picture(file).images for file in files]
    np.testing.assert_array_equal(together, np.concatenate(alone))


def test_the_ink_that_is_said_is_believed() -> None:
    said = decode_multipart(form([png(THREE)], ink="dark"), MULTIPART).images
    assert said[0, 0, 0, 0] == 0 or said.mean() > AS_NUMBERS.mean()
    assert not np.allclose(said, AS_NUMBERS, atol=0.1)


def json_of(**value: object) -> Sent:
    return decode_json(json.dumps(value).encode())


def test_pictures_in_json_are_what_they_are_by_themselves() -> None:
    text = base64_of(png(LARGE))
    expected = decode_picture(png(LARGE)).images
    for one in (text, f"data:image/png;base64,{text}", re.sub("(.{76})", r"\1\n", text), [text]):
        np.testing.assert_array_equal(json_of(image=one).images, expected)
    several = json_of(images=[text, base64_of(jpeg(THREE))], release="softmax-1", ink=None)
    assert several.release == "softmax-1"
    np.testing.assert_array_equal(several.images[:1], expected)


def test_a_form_is_what_its_files_are() -> None:
    sent = decode_multipart(form([png(LARGE), jpeg(THREE)], release="softmax-1"), MULTIPART)
    assert sent.release == "softmax-1"
    np.testing.assert_array_equal(sent.images[:1], decode_picture(png(LARGE)).images)
    np.testing.assert_array_equal(sent.images[1:], decode_picture(jpeg(THREE)).images)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"image": "no base64!"}, "invalid_base64"),
        ({"image": base64_of(png(THREE))[:-3]}, "invalid_base64"),
        ({"image": "é"}, "invalid_base64"),
        ({"image": ""}, "unsupported_picture"),
        ({"image": base64_of(b"GIF89a")}, "unsupported_picture"),
        ({"images": [base64_of(png(THREE)), FLAT]}, "wrong_shape"),
        ({"images": [FLAT, base64_of(png(THREE))]}, "wrong_shape"),
        ({"image": [base64_of(png(THREE))] * 2}, "wrong_shape"),
        ({"images": [base64_of(png(THREE))] * (MAX_IMAGES + 1)}, "too_many_images"),
        (base64_of(png(THREE)), "wrong_shape"),
    ],
)
def test_what_is_no_picture_in_json_is_refused(value: object, expected: str) -> None:
    with pytest.raises(Problem) as caught:
        decode_json(json.dumps(value).encode())
    assert caught.value.type.code == expected


FILE = png(THREE)


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b"", MULTIPART, "malformed_multipart"),
        (form([FILE]), "multipart/form-data", "malformed_multipart"),
        (form([FILE]), "multipart/form-data; boundary=another", "malformed_multipart"),
        (form([FILE]), "multipart/form-data; boundary=\xe9", "malformed_multipart"),
        (form([FILE]), "multipart/form-data; boundary*=utf-8''%E2%82%AC", "malformed_multipart"),
        (form([FILE])[:-8], MULTIPART, "malformed_multipart"),
        (form([]), MULTIPART, "wrong_shape"),
        (form([], image="1,2,3"), MULTIPART, "wrong_shape"),
        (form([FILE], name="file"), MULTIPART, "unknown_field"),
        (form([FILE], paper="dark"), MULTIPART, "unknown_field"),
        (form([FILE], ink="red"), MULTIPART, "invalid_ink"),
        (form([FILE], release=""), MULTIPART, "invalid_release"),
        (form([b"GIF89a"]), MULTIPART, "unsupported_picture"),
        (form([FILE] * 101), MULTIPART, "too_many_images"),
        (form([FILE], **{f"a{n}": "" for n in range(1100)}), MULTIPART, "malformed_multipart"),
        (form([FILE], ink="x" * 2_700_000), MULTIPART, "malformed_multipart"),
    ],
)
def test_what_is_no_form_of_pictures_is_refused(
    body: bytes, content_type: str, expected: str
) -> None:
    assert without_boundary(body, content_type) is not None
    with pytest.raises(Problem) as caught:
        decode_multipart(body, content_type)
    assert caught.value.type.code == expected


def test_a_hundred_files_are_one_form() -> None:
    assert len(decode_multipart(form([FILE] * 100), MULTIPART).images) == 100


def test_two_forms_that_ask_for_the_same_differ_in_their_boundary_only() -> None:
    other = MULTIPART.replace("a-boundary", "another")
    first = without_boundary(form([FILE]), MULTIPART)
    assert first == without_boundary(form([FILE], boundary="another"), other)
    assert first != without_boundary(form([png(255 - THREE)]), MULTIPART)


@pytest.mark.parametrize(
    "body",
    [
        '{"image": "%s"}',
        '{"ink": "dark", "images":\n[ "%s" ]}',
        '{"\\u0069mage": "%s"}',
        '{"image": [0], "image" : "%s"}',
    ],
)
@pytest.mark.parametrize("text", ["data:[,iVBOR", "iVBOR", "\\u0069VBOR"])
def test_a_picture_in_json_is_seen_before_it_is_read(body: str, text: str) -> None:
    assert may_have_pictures((body % text).encode())


@pytest.mark.parametrize(
    "value", [FLAT, [FLAT], {"image": FLAT, "ink": "dark"}, {"images": [FLAT], "release": "images"}]
)
def test_numbers_in_json_are_not_taken_for_pictures(value: Any) -> None:
    assert not may_have_pictures(json.dumps(value).encode())


def test_a_look_for_pictures_takes_no_longer_than_reading() -> None:
    body = b'{"image":' + b" " * 60_000 + b"0}"
    began = time.process_time()
    assert not may_have_pictures(body)
    assert time.process_time() - began < 0.5  # it took seconds where blanks were counted twice


SMALL = {"PNG": png(THREE), "JPEG": jpeg(THREE), "progressive": jpeg(THREE, progressive=True)}


@pytest.mark.parametrize(
    ("body", "content_type", "is_aside"),
    [
        (json.dumps(FLAT).encode(), "application/json", False),
        (json.dumps({"image": FLAT, "ink": "light"}).encode(), "application/json", False),
        (json.dumps({"image": base64_of(FILE)}).encode(), "application/json", True),
        (FILE, "image/png", True),
        (form([FILE]), MULTIPART, True),
    ],
)
def test_pictures_are_read_where_they_hold_up_nobody(
    body: bytes, content_type: str, is_aside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_by = []
    monkeypatch.setattr(
        Endpoint, "fill", lambda *args: read_by.append(threading.current_thread().name)
    )
    filled(body, content_type)
    assert read_by[0].startswith("pictures") == is_aside


@given(
    st.sampled_from(sorted(SMALL)),
    st.dictionaries(st.integers(0, 2_000), st.integers(0, 255), min_size=1, max_size=5),
    st.integers(0, 2_000),
)
def test_no_damage_breaks_the_decoder(name: str, changes: dict[int, int], cut: int) -> None:
    broken = bytearray(SMALL[name])
    for place, byte in changes.items():
        broken[place % len(broken)] = byte
    for raw in (bytes(broken), bytes(broken[: len(broken) - cut])):
        with suppress(Problem):
            image = decoded(raw)
            assert 0 <= image.min() <= image.max() <= 1


@given(st.binary(max_size=200), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"]))
def test_no_bytes_break_the_decoder_of_pictures(raw: bytes, head: bytes) -> None:
    problem(head + raw)
