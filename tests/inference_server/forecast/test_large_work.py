"""Large work beside the event loop: one at a time, with its errors and its request's id."""

import asyncio
import threading

import pytest

from inference_server.forecast.large_work import LargeWork
from inference_server.logs import request_id


def fail() -> None:
    raise ValueError("no")


@pytest.mark.parametrize("large", [False, True])
def test_what_work_returns_or_raises_comes_back(large: bool) -> None:
    async def run() -> None:
        work = LargeWork()
        request_id.set("abc")
        assert await work.run(lambda: (request_id.get(), threading.current_thread()), large=large) == (
            "abc",
            threading.current_thread() if not large else next(iter(work._thread._threads)),
        )
        with pytest.raises(ValueError, match="no"):
            await work.run(fail, large=large)

    asyncio.run(run())


def test_the_loop_goes_on_and_large_work_runs_one_at_a_time() -> None:
    begun, go_on = threading.Event(), threading.Event()
    order: list[str] = []

    def first() -> None:
        begun.set()
        assert go_on.wait(30)
        order.append("first")

    async def run() -> None:
        work = LargeWork()
        one = asyncio.create_task(work.run(first, large=True))
        two = asyncio.create_task(work.run(lambda: order.append("second"), large=True))
        never = asyncio.create_task(work.run(lambda: order.append("cancelled"), large=True))
        await asyncio.to_thread(begun.wait, 30)
        await work.run(lambda: order.append("small"), large=False)
        never.cancel()
        await asyncio.wait([never])
        go_on.set()
        await asyncio.gather(one, two)
        await work.run(lambda: None, large=True)

    asyncio.run(run())
    assert order == ["small", "first", "second"]
