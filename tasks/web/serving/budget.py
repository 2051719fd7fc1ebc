"""How many pixels are at work at once, and whose turn it is.

An image takes some forty bytes of memory for each of its pixels while it is decoded and while the
regions of its map are found. So pixels are counted, and not requests.

They come in order, but a small image need not wait behind a large one for which there is no room
yet: it passes, until as many pixels as are allowed at once have passed that large one.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass(eq=False)  # each is itself
class _Waiting:
    pixels: int
    turn: "asyncio.Future[None]"
    passed: int = 0  # pixels of later images that went before it


class PixelBudget:
    """Use it from one event loop."""

    def __init__(self, most: int) -> None:
        """most: pixels at once; an image that is larger waits until it is alone."""
        self.most = most
        self.at_work = 0
        self._waiting: list[_Waiting] = []  # in the order in which they came

    @asynccontextmanager
    async def spend(self, pixels: int) -> AsyncIterator[None]:
        """Wait until there is room for so many pixels, and hold it."""
        one = _Waiting(min(pixels, self.most), asyncio.get_running_loop().create_future())
        self._waiting.append(one)
        self._admit()
        try:
            await one.turn
            yield
        finally:
            if one in self._waiting:  # who asked for it has gone
                self._waiting.remove(one)
            else:
                self.at_work -= one.pixels
            self._admit()

    def _admit(self) -> None:
        """Give a turn to everyone for whom there is room, and who passes nobody too often."""
        before: list[_Waiting] = []
        for one in [one for one in self._waiting if not one.turn.cancelled()]:
            room = self.at_work + one.pixels <= self.most
            if room and all(other.passed + one.pixels <= self.most for other in before):
                for other in before:
                    other.passed += one.pixels
                self._waiting.remove(one)
                self.at_work += one.pixels
                one.turn.set_result(None)
            else:
                before.append(one)
