"""Get the picture of a product, for anybody."""

from __future__ import annotations

from dataclasses import dataclass

from services.commerce.errors import ImageNotFound
from services.commerce.store import images
from services.kernel.db.database import Reader


@dataclass(frozen=True, slots=True)
class GetImage:
    """Gets pictures."""

    reader: Reader

    async def __call__(self, *, image_id: str) -> bytes:
        """Return a picture.

        Raises:
            ImageNotFound: There is no such picture.
        """
        data = await images.get(self.reader, image_id)
        if data is None:
            raise ImageNotFound
        return data
