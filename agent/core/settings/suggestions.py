"""Suggestions for unknown keys and sections: "did you mean proxy.url?"."""

from __future__ import annotations

from collections.abc import Iterable

from agent.core.record import fields_dict
from agent.core.settings.schema import SECTIONS

#: Hostile user data may hold thousands of unknown names, or very long ones.  Only the first ones of
#: a merge get a suggestion, and only those of at most so many characters.
MAX_SUGGESTIONS = 20
MAX_LENGTH = 100

#: Names that operators know from elsewhere.  By spelling alone, http_proxy is closest to no_proxy.
_ALIASES = {
    "http_proxy": "proxy.url",
    "https_proxy": "proxy.https_url",
    "user": "proxy.credentials_file",
    "username": "proxy.credentials_file",
    "password": "proxy.credentials_file",
}


class Suggestions:
    """Suggestions for the unknown names of one merge.

    Each method returns names of settings for an error text, or "" if nothing is close or the limit
    is reached.
    """

    def __init__(self) -> None:
        self._remaining = MAX_SUGGESTIONS

    def for_key(self, section: str, key: str) -> str:
        """Suggest a key of the same section, else the same key of other sections."""
        if not self._may_search(key):
            return ""
        name = _normalized(key)
        if name in _ALIASES:
            return _ALIASES[name]
        closest = _closest(name, fields_dict(SECTIONS[section]))
        return f"{section}.{closest}" if closest else _everywhere(name)

    def for_top_level_key(self, key: str) -> str:
        """Suggest a key of any section for a key above the first section header."""
        if not self._may_search(key):
            return ""
        name = _normalized(key)
        if name in _ALIASES:
            return _ALIASES[name]
        every_key = dict.fromkeys(key for cls in SECTIONS.values() for key in fields_dict(cls))
        return _everywhere(_closest(name, every_key))

    def for_section(self, section: str) -> str:
        """Suggest a section."""
        return _closest(_normalized(section), SECTIONS) if self._may_search(section) else ""

    def _may_search(self, name: str) -> bool:
        """Return True within the limits, and count this search."""
        if self._remaining == 0 or len(name) > MAX_LENGTH:
            return False
        self._remaining -= 1
        return True


def _normalized(name: str) -> str:
    """Return `No-Proxy` as `no_proxy`, the form of our names."""
    return name.lower().replace("-", "_")


def _everywhere(key: str) -> str:
    """Return SECTION.KEY of each section with that key, joined by "or"."""
    return " or ".join(f"{section}.{key}" for section, cls in SECTIONS.items() if key in fields_dict(cls))


def _closest(name: str, candidates: Iterable[str]) -> str:
    from difflib import get_close_matches  # imported for mistakes only: valid settings never need it

    return next(iter(get_close_matches(name, list(candidates), n=1)), "")
