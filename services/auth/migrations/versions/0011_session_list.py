"""What owners see of their sessions: the client, and when it logged in and was seen.

Old processes leave out the client, and the defaults date their logins.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
LOSES = {
    "sessions": "SELECT count(*) FROM sessions WHERE client_name IS NOT NULL "
    "OR address IS NOT NULL",
}

MOMENTS = ("auth_time", "last_seen_time")


def upgrade() -> None:
    op.add_column("sessions", sa.Column("client_name", sa.Text))
    op.add_column("sessions", sa.Column("address", sa.Text))
    for name in MOMENTS:
        op.add_column("sessions", sa.Column(name, sa.DateTime(timezone=True)))
        op.alter_column("sessions", name, server_default=sa.text("clock_timestamp()"))
    op.execute("UPDATE sessions SET auth_time = create_time, last_seen_time = rotate_time")
    for name in MOMENTS:
        op.alter_column("sessions", name, nullable=False)


def downgrade() -> None:
    for name in (*MOMENTS, "client_name", "address"):
        op.drop_column("sessions", name)
