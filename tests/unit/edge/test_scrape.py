"""A scrape is put together between other things: no turn of the event loop is long, however much there is to tell."""

import asyncio

from entrepot.edge.gateway_report import Scrape


def test_other_work_is_done_between_its_pieces() -> None:
    order: list[str] = []

    async def run() -> bytes:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[bytes] = loop.create_future()

        def work() -> None:
            order.append("work")
            if not done.done():
                loop.call_soon(work)

        def pieces() -> "list[str]":
            return [f"piece {number}\n" for number in range(1_000)]

        loop.call_soon(work)
        Scrape(iter(pieces()), done.set_result).go_on()
        return await done

    text = asyncio.run(run())
    assert text.splitlines() == [b"piece %d" % number for number in range(1_000)]
    assert len(order) >= 20


def test_nothing_is_written_for_a_scraper_that_has_left() -> None:
    answers: list[bytes] = []

    async def run() -> int:
        pieces = iter(["x"] * 1_000)
        scrape = Scrape(pieces, answers.append)
        scrape.go_on()
        scrape.client_left()
        for _ in range(100):
            await asyncio.sleep(0)
        return len(list(pieces))

    assert asyncio.run(run()) > 900
    assert answers == []
