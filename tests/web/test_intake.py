"""Forms are parsed at once, but never for long while others wait."""

from __future__ import annotations

import asyncio

import pytest

from vitascope.web.intake import read_uploads

PART = b'--b\r\nContent-Disposition: form-data; name="image"; filename="x.png"\r\n\r\n'


@pytest.mark.parametrize(("content", "waits"), [(bytes(2**20), False), (b"\r\n--bx" * (2**20 // 6), True)])
def test_others_have_their_turn_while_a_form_is_slow_to_parse(content: bytes, waits: bool) -> None:
    """What is slow are beginnings of boundaries, a hundredfold; a turn for nothing would cost all the others."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def main() -> None:
        counting = asyncio.create_task(count())
        (upload,) = await read_uploads(PART + content + b"\r\n--b--\r\n", "multipart/form-data; boundary=b", 1)
        assert (upload.name, upload.content) == ("x.png", content)
        counting.cancel()

    asyncio.run(main())
    assert (turns >= 3) == waits
