"""Rules that several of Auth's use cases share."""

from services.auth.domain.collaborators import Collaborators
from services.auth.domain.emails import allow_domains
from services.auth.domain.outbox import MailServer, mail_workers
from services.auth.domain.passwords import Hasher
from services.auth.domain.tokens import LocalKeys

__all__ = ["Collaborators", "Hasher", "LocalKeys", "MailServer", "allow_domains", "mail_workers"]
