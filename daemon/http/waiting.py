"""Waiting for a ticket while watching the client: one that goes away withdraws its request, streamed or not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import Receive

from daemon.tickets import Ticket


@asynccontextmanager
async def withdrawn_if_gone(ticket: Ticket, receive: Receive) -> AsyncIterator[None]:
    """Watch the connection meanwhile; the body must have been read. Leaving with an error withdraws as well."""
    watch = asyncio.create_task(_withdraw_when_gone(ticket, receive))
    try:
        yield
    finally:
        watch.cancel()
        ticket.cancel()


async def _withdraw_when_gone(ticket: Ticket, receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    ticket.cancel()
