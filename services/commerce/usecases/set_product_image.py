"""Give a product an uploaded picture."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.commerce.domain.pictures import Picture, PictureDecoder
from services.commerce.domain.products import Seller
from services.commerce.model import Product
from services.commerce.store import images, products, users
from services.kernel.audit import log
from services.kernel.db.database import Database, Transaction
from services.kernel.rpc.call import Origin


@dataclass(frozen=True, slots=True)
class SetProductImage:
    """Sets pictures: an administrator of any product, a brand of its own."""

    database: Database
    decoder: PictureDecoder

    async def __call__(
        self, *, seller: Seller, product_id: UUID, upload: bytes, origin: Origin, etag: str
    ) -> Product:
        """Put a picture in the place of the one that the product has, and return the product.

        Raises:
            ProductNotFound: There is no such product.
            Forbidden: It belongs to another seller.
            EtagMismatch: It no longer has this etag.
            InvalidField: The upload is no picture that is allowed.
            DeadlineExceeded: To decode it takes too long.
            SessionEnded: The seller's account was deleted.
        """
        # Before the work, so that nobody makes the service decode pictures for other products.
        seller.changeable(await products.get(self.database, product_id), etag)
        decoded = await self.decoder.decode(upload)
        pictures = [Picture.of(product_id, each) for each in decoded]

        async def change(tx: Transaction) -> Product:
            await users.lock(tx, seller.user_id)
            product = seller.changeable(await products.lock(tx, product_id), etag)
            large, small = pictures
            if product.image_url == large.path:
                return product
            await images.delete_of_product(tx, product_id)
            for each in {each.id: each for each in pictures}.values():
                await images.insert_image(tx, product_id, each.id, each.data)
            await images.set_paths(tx, product_id, large.path, small.path)
            changed = await products.get(tx, product_id)
            assert changed is not None
            facts = {"product": str(product_id), "fields": "image_url"}
            await log.write(
                tx, "product_updated", facts, user_id=product.seller_id, **log.by(origin)
            )
            return changed

        return await self.database.transact("SetProductImage", change)
