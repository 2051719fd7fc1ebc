"""How many pixels are at work at once, in the order in which they came.

An image takes some forty bytes of memory for each of its pixels while it is decoded and while the
regions of its map are found. So pixels are counted, and not requests.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class PixelBudget:
    """Use it from one event loop."""

    def __init__(self, most: int) -> None:
        """most: pixels at once; an image that is larger waits until it is alone."""
        self.most = most
        self.at_work = 0
        self._turn = (
            asyncio.Lock()
        )  # its waiters go one by one, so that a large image is not passed
        self._freed = asyncio.Event()

    @asynccontextmanager
    async def spend(self, pixels: int) -> AsyncIterator[None]:
        """Wait until there is room for so many pixels, and hold it."""
        needed = min(pixels, self.most)
        async with self._turn:
            while self.at_work + needed > self.most:
                self._freed.clear()
                await self._freed.wait()
            self.at_work += needed
        try:
            yield
        finally:
            self.at_work -= needed
            self._freed.set()
