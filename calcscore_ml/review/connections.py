"""Connections within bounds: how many there are, and how long one may say nothing."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

CONNECTIONS_MOST = 256
"""Connections at a time. When there are more, one that asks nothing is closed, or else the new one gets 503."""

REQUEST_S = 5.0
"""Time for the head of a request to arrive [s]."""

HEAD_MOST = 16 * 1024
"""Longest head of a request [bytes]; more gets 400."""

BUSY = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class BoundedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, with a limit on connections and a time limit on heads of requests."""

    def __init__(self, *given: Any, **named: Any) -> None:  # noqa: ANN401 (whatever uvicorn gives)
        super().__init__(*given, **named)
        self._since = monotonic()
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, or turn it away."""
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS_MOST:
            silent = [
                c for c in self.connections if isinstance(c, BoundedProtocol) and c is not self and c.asks_nothing
            ]
            if not silent:
                transport.write(BUSY)
                transport.close()
                return
            min(silent, key=lambda c: c._since).transport.abort()
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Take what arrived."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection."""
        self._unwatch()
        super().connection_lost(exc)

    @property
    def asks_nothing(self) -> bool:
        """Whether no request is being answered: the connection is new, half open or waits for the next one."""
        return self.cycle is None or self.cycle.response_complete

    def _watch(self) -> None:
        if not self.asks_nothing or self.transport.is_closing():
            self._unwatch()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(REQUEST_S, self._late)

    def _unwatch(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        self._deadline = None
        if self.asks_nothing and not self.transport.is_closing():
            self.transport.abort()
