"""Uploaded pictures of products."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
LOSES = {
    "images": "SELECT count(*) FROM images",
    "products": "SELECT count(*) FROM products WHERE thumbnail_url <> ''",
}

NOW = sa.text("clock_timestamp()")
# Their pictures are gone.
FORGET_PATHS = "UPDATE products SET image_url = '' WHERE thumbnail_url <> ''"


def upgrade() -> None:
    op.add_column(
        "products", sa.Column("thumbnail_url", sa.Text, nullable=False, server_default="")
    )
    op.create_table(
        "images",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("product_id", sa.Uuid, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False, server_default=NOW),
        sa.PrimaryKeyConstraint("id", name="pk_images"),
        sa.ForeignKeyConstraint(["product_id"], ["products.id"], name="fk_images_product_id"),
    )
    op.create_index("ix_images_product_id", "images", ["product_id"])


def downgrade() -> None:
    op.execute(FORGET_PATHS)
    op.drop_table("images")
    op.drop_column("products", "thumbnail_url")
