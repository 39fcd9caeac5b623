"""What waits to be answered, and how fast answers may go: both bounded."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

Item = TypeVar("Item")


class FairQueue(Generic[Item]):
    """Items by device and key, taken turn by turn: one device that asks for much does not keep the others waiting.

    A device has at most ``most_each`` of them, all devices together ``most``.
    """

    def __init__(self, most_each: int, most: int) -> None:
        self._most_each = most_each
        self._most = most
        self._devices: OrderedDict[str, OrderedDict[object, Item]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def has(self, device: str, key: object) -> bool:
        """Whether the device waits for the very same already."""
        return key in self._devices.get(device, ())

    def put(self, device: str, key: object, item: Item) -> bool:
        """Take ``item`` in; ``False`` when there is no room for it."""
        waiting = self._devices.get(device)
        if self._count >= self._most or (waiting is not None and len(waiting) >= self._most_each):
            return False
        if waiting is None:
            waiting = self._devices[device] = OrderedDict()
        self._count += key not in waiting
        waiting[key] = item
        return True

    def peek(self) -> Item:
        """The item whose turn it is; raises ``IndexError`` when nothing waits."""
        if not self._devices:
            raise IndexError("nothing waits")
        return next(iter(next(iter(self._devices.values())).values()))

    def pop(self) -> Item:
        """Take that item; its device goes to the end of the line."""
        item = self.peek()
        device, waiting = self._devices.popitem(last=False)
        waiting.popitem(last=False)
        if waiting:
            self._devices[device] = waiting
        self._count -= 1
        return item

    def clear(self) -> None:
        """Forget everything."""
        self._devices.clear()
        self._count = 0


class TokenBucket:
    """How many bytes may be sent: ``rate`` a second, and ``burst`` at once after a pause. Time comes in, in seconds."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._held = burst
        self._at = now

    def wait(self, size: int, now: float) -> float:
        """Seconds until ``size`` bytes may be sent; 0: now. More than the burst may go when the bucket is full."""
        self._held = min(self._burst, self._held + max(0.0, now - self._at) * self._rate)
        self._at = now
        short = min(size, self._burst) - self._held
        return max(0.0, short / self._rate)

    def spend(self, size: int) -> None:
        """``size`` bytes are sent."""
        self._held -= size
