"""Sessions as Django keeps them in the database, by keys that can be asked of it."""

from django.contrib.sessions.backends import db


class SessionStore(db.SessionStore):
    def _validate_session_key(self, key: str | None) -> bool:
        """A cookie may hold anything, also NUL, which PostgreSQL refuses; a key is letters and
        digits.
        """
        return key is not None and len(key) >= 8 and key.isascii() and key.isalnum()
