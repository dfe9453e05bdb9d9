"""Rules that several of Auth's use cases share."""

from services.auth.domain.collaborators import Collaborators
from services.auth.domain.emails import allow_domains
from services.auth.domain.outbox import MailServer, mail_workers
from services.auth.domain.password_words import add_context
from services.auth.domain.passwords import Hasher
from services.auth.domain.usual_cost import UsualCost

__all__ = [
    "Collaborators",
    "Hasher",
    "MailServer",
    "UsualCost",
    "adopt",
    "mail_workers",
]


def adopt(reserved_domains: str | None, password_words: str | None) -> None:
    """Adopt the words of an installation, for the whole process.

    Args:
        reserved_domains: The reserved domains that e-mail addresses may have.
        password_words: The words that no password may be made of.
    """
    allow_domains(reserved_domains)
    add_context(password_words)
