"""What servers say about their limits in the headers of a reply."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Final

import msgspec

_LONGEST_PERIOD_S: Final = 120.0
"""A limit that fills up more slowly than this is one per hour or day, not per minute."""

_UNITS: Final = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(us|µs|ms|s|m|h|d)")


class ServerLimits(msgspec.Struct, frozen=True):
    """What a server said about its limits with one reply; None where it said nothing.

    Attributes:
        requests_per_minute: None also for a limit that is not one per minute.
        tokens_per_minute: Likewise.
        remaining_requests: That may be sent now.
        remaining_tokens: Likewise.
        reset_requests_s: Until all requests are free again.
        reset_tokens_s: Likewise.
    """

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    remaining_requests: float | None = None
    remaining_tokens: float | None = None
    reset_requests_s: float | None = None
    reset_tokens_s: float | None = None

    @classmethod
    def from_headers(cls, headers: Mapping[str, str]) -> ServerLimits | None:
        """Read ``x-ratelimit-limit-requests`` and its like; None where there are none.

        Source: https://platform.openai.com/docs/guides/rate-limits (rate limits in headers).
        """
        if "x-ratelimit-limit-requests" not in headers and "x-ratelimit-limit-tokens" not in headers:
            return None
        requests, requests_left, requests_reset_s = _read(headers, "requests")
        tokens, tokens_left, tokens_reset_s = _read(headers, "tokens")
        return cls(requests, tokens, requests_left, tokens_left, requests_reset_s, tokens_reset_s)


def _read(headers: Mapping[str, str], what: str) -> tuple[float | None, float | None, float | None]:
    limit = _count(headers.get(f"x-ratelimit-limit-{what}"))
    remaining = _count(headers.get(f"x-ratelimit-remaining-{what}"))
    reset_s = parse_duration(headers.get(f"x-ratelimit-reset-{what}"))
    if limit and remaining is not None and reset_s is not None and remaining < limit:
        # The headers do not name the period. What was used comes back at the limit's own rate, which tells it:
        # some accounts have 10,000 requests a day, and reset 8.64 s after the first.
        period_s = reset_s * limit / (limit - remaining)
        limit = limit if period_s <= _LONGEST_PERIOD_S else None
    return limit or None, remaining, reset_s


def _count(text: str | None) -> float | None:
    try:
        value = float(text) if text else -1.0
    except ValueError:
        return None
    return value if 0 <= value < math.inf else None


def parse_duration(text: str | None) -> float | None:
    """Seconds in a duration as servers write it; None for anything else.

    >>> parse_duration("1s"), parse_duration("6m0s"), parse_duration("20ms"), parse_duration("7.5"), parse_duration("?")
    (1.0, 360.0, 0.02, 7.5, None)
    """
    parts = _DURATION.findall(text or "")
    if parts:
        return sum(float(number) * _UNITS[unit] for number, unit in parts)
    return _count(text)
