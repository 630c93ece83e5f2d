"""The frames of JSON-RPC over a byte stream: headers, an empty line, a body of the length they name."""

from __future__ import annotations

import asyncio

HEADERS_MAX = 8
FRAME_BYTES_MAX = 32 << 20


class MalformedFrameError(Exception):
    """What came is no frame, or is larger than any frame may be; the rest of the stream means nothing."""


async def read_frame(reader: asyncio.StreamReader) -> bytes | None:
    """The next frame's body; None when the stream has ended between frames."""
    try:
        length = await _read_headers(reader)
        return None if length is None else await reader.readexactly(length)
    except asyncio.IncompleteReadError as error:
        raise MalformedFrameError("the stream ended inside a frame") from error
    except ValueError as error:
        raise MalformedFrameError("a header line is too long") from error


async def _read_headers(reader: asyncio.StreamReader) -> int | None:
    length: int | None = None
    for count in range(HEADERS_MAX):
        line = await reader.readline()
        if not line and not count:
            return None
        if not line.endswith(b"\n"):
            raise MalformedFrameError("the stream ended inside a header")
        if not line.strip():
            break
        name, _, value = line.partition(b":")
        match name.strip().lower():
            case b"content-length":
                length = _parse_length(value.strip())
            case b"content-type":
                pass
            case _:
                # A web page can make a browser send anything to a port, but never without its own headers.
                raise MalformedFrameError("a header that is none of the protocol's")
    else:
        raise MalformedFrameError(f"more than {HEADERS_MAX} header lines")
    if length is None:
        raise MalformedFrameError("no Content-Length")
    return length


def _parse_length(value: bytes) -> int:
    if not value.isdigit() or len(value) > len(str(FRAME_BYTES_MAX)):
        raise MalformedFrameError("Content-Length is no size")
    if int(value) > FRAME_BYTES_MAX:
        raise MalformedFrameError(f"a frame of {int(value):,} bytes; at most {FRAME_BYTES_MAX:,}")
    return int(value)
