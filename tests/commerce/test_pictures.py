"""Uploaded pictures: what is taken, what is refused, and when they leave."""

from __future__ import annotations

import asyncio
import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.field_mask_pb2 import FieldMask
from lockstep.commerce.v1 import catalog_service_pb2 as catalog_pb
from lockstep_clients import Aborted, DeadlineExceeded, InvalidArgument, NotFound, PermissionDenied
from PIL import Image, PngImagePlugin

from services.commerce.domain import pictures
from services.kernel.ids import new_id
from tests.commerce.drawing import small_picture
from tests.commerce.world import Buyer, Shop, fields_of, refusal

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATIENCE_SECONDS = 60.0
SVG = b"""<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>"""
SCRIPT = b"<script>alert(1)</script>"


@pytest.fixture(name="shop")
def shop_of_all(shared_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.setattr(pictures, "DECODE_SECONDS", PATIENCE_SECONDS)  # the machine may be busy
    return shared_shop


def written(picture: Image.Image, form: str, **more: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, form, **more)
    return out.getvalue()


def plain(width: int = 60, height: int = 40, mode: str = "RGB") -> Image.Image:
    return Image.new(mode, (width, height), 200 if mode in ("L", "I;16") else "teal")


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, data: bytes) -> bytes:
    """Make a PNG that claims this size, whatever its data hold."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def bomb(width: int, height: int) -> bytes:
    """Make a small PNG of many pixels."""
    packer = zlib.compressobj(9)
    row = b"\0" * (1 + 3 * width)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    return png(width, height, data)


def animated(form: str) -> bytes:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    return written(frames[0], form, save_all=True, append_images=frames[1:])


def oriented() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it by 90 degrees
    exif[0x010E] = "where I live"
    return written(plain(60, 40), "JPEG", exif=exif)


def with_text(length: int) -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "x" * length, zip=True)
    return written(plain(), "PNG", pnginfo=info)


async def upload(
    shop: Shop, product: catalog_pb.Product, data: bytes, *, by: Buyer | None = None, etag: str = ""
) -> catalog_pb.Product:
    request = catalog_pb.SetProductImageRequest(
        product_id=product.id, image=HttpBody(content_type="text/html", data=data), etag=etag
    )
    metadata = shop.admin if by is None else by.metadata
    return await shop.catalog.SetProductImage(request, metadata=metadata, timeout=PATIENCE_SECONDS)


async def data_of(shop: Shop, path: str) -> bytes:
    request = catalog_pb.GetImageRequest(image_id=path.removeprefix("/v1/images/"))
    body = await shop.catalog.GetImage(request)
    assert body.content_type == "image/webp"
    return body.data


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data), formats=["WEBP"])


TAKEN: dict[str, tuple[Callable[[], bytes], tuple[int, int]]] = {
    "jpeg": (lambda: written(plain(), "JPEG"), (60, 40)),
    "png": (small_picture, (60, 40)),
    "png with a palette": (lambda: written(plain().convert("P"), "PNG"), (60, 40)),
    "png of 16 bits": (lambda: written(plain(mode="I;16"), "PNG"), (60, 40)),
    "clear png": (lambda: written(plain(mode="RGBA"), "PNG"), (60, 40)),
    "webp": (lambda: written(plain(), "WEBP"), (60, 40)),
    "grey jpeg": (lambda: written(plain(mode="L"), "JPEG"), (60, 40)),
    "jpeg for print": (lambda: written(plain(mode="CMYK"), "JPEG"), (60, 40)),
    "one pixel": (lambda: written(plain(1, 1), "PNG"), (1, 1)),
    "large": (lambda: written(plain(3000, 1500), "JPEG"), (1200, 600)),
    "24 million pixels": (lambda: bomb(6000, 4000), (1200, 800)),
    "noise": (lambda: written(Image.effect_noise((950, 950), 90), "PNG"), (950, 950)),
    "turned": (oriented, (40, 60)),
    "followed by a script": (lambda: written(plain(), "JPEG") + SCRIPT, (60, 40)),
    "with a script as comment": (lambda: written(plain(), "JPEG", comment=SCRIPT), (60, 40)),
}


@pytest.mark.parametrize("name", TAKEN)
async def test_a_picture_is_written_anew_in_two_sizes(shop: Shop, name: str) -> None:
    make, size = TAKEN[name]
    product = await shop.product()
    changed = await upload(shop, product, make())
    files = [await data_of(shop, each) for each in (changed.image_url, changed.thumbnail_url)]
    large, small = map(opened, files)
    assert large.size == size
    assert max(small.size) == min(400, max(size))
    assert (large.info.get("exif"), large.info.get("icc_profile")) == (None, None)
    for data in files:
        assert data[:4] == b"RIFF"
        assert b"script" not in data
        assert b"live" not in data
    assert changed.etag != product.etag
    assert (await shop.listed(category=product.category_id)).products == [changed]


REFUSED: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "text": lambda: b"hello",
    "svg": lambda: SVG,
    "html": lambda: b"<!doctype html>" + SCRIPT,
    "gif": lambda: written(plain(), "GIF"),
    "gif that is a script": lambda: b"GIF89a/*" + SCRIPT + b"*/=1;",
    "bmp": lambda: written(plain(), "BMP"),
    "tiff": lambda: written(plain(), "TIFF"),
    "ico": lambda: written(plain(), "ICO"),
    "pdf": lambda: b"%PDF-1.7\n" + SCRIPT,
    "cut jpeg": lambda: written(plain(900, 900), "JPEG")[:2000],
    "cut png": lambda: written(plain(900, 900), "PNG")[:-40],
    "cut webp": lambda: written(plain(900, 900), "WEBP")[:-40],
    "head alone": lambda: b"\x89PNG\r\n\x1a\n",
    "a png of 100 megapixels": lambda: bomb(10_000, 10_000),
    "a claim of 100 megapixels": lambda: png(10_000, 10_000, b""),
    "endless text": lambda: with_text(80_000_000),
    "animated webp": lambda: animated("WEBP"),
    "animated png": lambda: animated("PNG"),
    "more than a mebibyte": lambda: b"\xff\xd8\xff" + bytes(1024 * 1024),
    "noise in the body of a png": lambda: written(plain(900, 900), "PNG")[:60] + b"\xab" * 5000,
}


async def test_a_refusal_says_what_the_program_that_decodes_found(shop: Shop) -> None:
    with refusal("INVALID_FIELD", InvalidArgument) as caught:
        await upload(shop, await shop.product(), REFUSED["animated png"]())
    told = [violation.description for violation in caught.value.violations]
    assert told == ["must be one picture, and not an animation"]


@pytest.mark.parametrize("name", REFUSED)
async def test_what_is_no_picture_is_refused_and_changes_nothing(shop: Shop, name: str) -> None:
    product = await shop.product(image_url="https://example.com/a.jpg")
    with refusal("INVALID_FIELD", InvalidArgument) as caught:
        await upload(shop, product, REFUSED[name]())
    assert fields_of(caught) == {"image"}
    found = await shop.catalog.GetProduct(catalog_pb.GetProductRequest(product_id=product.id))
    assert found == product
    assert shop.rows("SELECT 1 FROM images WHERE product_id = %s", product.id) == []


async def test_the_next_picture_takes_the_place_of_the_first(shop: Shop) -> None:
    product = await shop.product()
    first = await upload(shop, product, small_picture())
    again = await upload(shop, product, small_picture())
    assert again == first
    second = await upload(shop, product, written(plain(30, 30), "PNG"))
    assert second.image_url != first.image_url
    with refusal("IMAGE_NOT_FOUND", NotFound):
        await data_of(shop, first.image_url)
    other = await upload(shop, await shop.product(), written(plain(30, 30), "PNG"))
    assert other.image_url != second.image_url


async def test_a_picture_stays_with_other_changes_and_leaves_with_another_url(shop: Shop) -> None:
    product = await upload(shop, await shop.product(), small_picture())
    renamed = await shop.change(product, name="Renamed", image_url=product.image_url)
    assert (renamed.image_url, renamed.thumbnail_url) == (product.image_url, product.thumbnail_url)
    opened(await data_of(shop, renamed.image_url))
    for url in (product.image_url[:-1] + "x", "/v1/images/" + "0" * 64, "javascript:alert(1)"):
        with refusal("INVALID_FIELD", InvalidArgument) as caught:
            await shop.change(product, image_url=url)
        assert fields_of(caught) == {"product.image_url"}
    moved = await shop.change(product, image_url="https://example.com/b.jpg")
    assert (moved.image_url, moved.thumbnail_url) == ("https://example.com/b.jpg", "")
    with refusal("IMAGE_NOT_FOUND", NotFound):
        await data_of(shop, product.image_url)
    with refusal("INVALID_FIELD", InvalidArgument):
        await shop.product(image_url=product.image_url)


async def test_pictures_leave_with_the_product_and_with_the_seller(shop: Shop) -> None:
    seller = shop.login("brand")
    category = await shop.category()
    sold, removed = [
        await upload(
            shop, await shop.product(by=seller, category_id=category.id), small_picture(),
            by=seller,
        )
        for _ in range(2)
    ]  # fmt: skip
    buyer = await shop.buyer()
    await shop.add(buyer, removed)
    await shop.remove(removed)
    (line,) = (await shop.cart(buyer)).items
    assert (line.product.image_url, line.product.thumbnail_url) == ("", "")
    await shop.forget(seller)
    for product in (sold, removed):
        with refusal("IMAGE_NOT_FOUND", NotFound):
            await data_of(shop, product.image_url)
    rows = shop.rows(
        "SELECT image_url, thumbnail_url FROM products WHERE category_id = %s", category.id
    )
    assert [tuple(row) for row in rows] == [("", "")] * 2


async def test_only_those_who_may_change_a_product_upload_its_picture(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    product = await shop.product(by=shop.login("brand"))

    async def never(_: bytes) -> tuple[int, bytes]:
        raise AssertionError("nothing may be decoded")

    monkeypatch.setattr(pictures, "_run", never)
    data = small_picture()
    for role in ("brand", "customer"):
        with refusal("FORBIDDEN", PermissionDenied):
            await upload(shop, product, data, by=shop.login(role))
    with refusal("PRODUCT_NOT_FOUND", NotFound):
        await upload(shop, catalog_pb.Product(id=str(new_id())), data)
    with refusal("ETAG_MISMATCH", Aborted):
        await upload(shop, product, data, etag="99-0")


async def test_ids_of_pictures_have_one_form(shop: Shop) -> None:
    for wrong in ("", "x", "0" * 63, "A" * 64, "../" * 20):
        with refusal("INVALID_FIELD", InvalidArgument) as caught:
            await shop.catalog.GetImage(catalog_pb.GetImageRequest(image_id=wrong))
        assert fields_of(caught) == {"image_id"}
    with refusal("IMAGE_NOT_FOUND", NotFound):
        await shop.catalog.GetImage(catalog_pb.GetImageRequest(image_id="0" * 64))


async def test_a_decoder_that_hangs_or_breaks_ends_and_the_service_goes_on(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    product, data = await shop.product(), small_picture()
    hanging = tmp_path / "hanging.py"
    hanging.write_text("import time\ntime.sleep(600)\n")
    with monkeypatch.context() as patch:
        patch.setattr(pictures, "_PROGRAM", hanging)
        patch.setattr(pictures, "DECODE_SECONDS", 0.5)
        with refusal("DEADLINE_EXCEEDED", DeadlineExceeded):
            await upload(shop, product, data)
    broken = tmp_path / "broken.py"
    broken.write_text("import os\nos.abort()\n")
    greedy = tmp_path / "greedy.py"
    greedy.write_text(
        "import resource\nresource.setrlimit(resource.RLIMIT_AS, (2**28, 2**28))\nb'x' * 2**29\n"
    )
    for program in (broken, greedy):
        with monkeypatch.context() as patch:
            patch.setattr(pictures, "_PROGRAM", program)
            with refusal("INVALID_FIELD", InvalidArgument):
                await upload(shop, product, data)
    several = [upload(shop, product, data) for _ in range(5)]
    assert len({each.image_url for each in await asyncio.gather(*several)}) == 1


async def test_a_mask_of_all_fields_keeps_an_uploaded_picture(shop: Shop) -> None:
    product = await upload(shop, await shop.product(), small_picture())
    request = catalog_pb.UpdateProductRequest(product=product, update_mask=FieldMask(paths=["*"]))
    changed = await shop.catalog.UpdateProduct(request, metadata=shop.admin)
    assert changed.thumbnail_url == product.thumbnail_url
    opened(await data_of(shop, changed.image_url)).load()
