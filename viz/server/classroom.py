"""Who reads on this server: anonymous readers, what each is at, the teacher's page, and the end of the class.

A reader is a browser, known by a random name in its cookie, and called by the order of arrival, as
"reader 7". The teacher's page shows no names and no answers; it needs neither Solara nor a seat, and asks for
its table again every ``REFRESH`` s.
"""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

import psutil
from anyio.to_thread import run_sync

from exoabm.process_memory import return_memory
from exoabm.text_formatting import two_decimals
from exoabm.viz.server.held_model import park_idle
from exoabm.viz.server.processor_shares import TURNS, Account
from exoabm.viz.server.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

REFRESH = 2.0
"""Seconds between two tables on the teacher's page."""
IDLE = 60.0
"""Seconds after which a model that nobody looks at is parked."""
MOST_READERS = 500
"""Readers remembered; of those who have left, the first are forgotten."""
CLOSING_NOTICE = (
    "The server was stopped, and this page with it. Your progress in the lessons is kept in this browser; "
    "you can close the page."
)
COLUMNS = ("reader", "lesson", "model", "state", "processor time")
"""Of the teacher's table."""
CLOSING_NOTICE_WAIT = 2.0
"""Seconds that all pages together have to take the notice."""


@dataclass
class Reader:
    """A browser.

    Attributes
    ----------
    number : int
        By the order of arrival, from 1.
    account : Account
        Of the processor time of all models of this reader.
    """

    number: int
    account: Account = field(default_factory=Account)

    @property
    def name(self) -> str:
        """As readers and the teacher see it."""
        return f"reader {self.number}"


@dataclass
class Seat:
    """An open page: its reader, its run, and where in the lessons it is."""

    reader: Reader
    session: Session | None = None
    title: str = ""
    lesson: str = ""

    def row(self) -> tuple[str, ...]:
        """The row of this page in the teacher's table."""
        used = f"{self.reader.account.cpu:,.0f} s"
        return self.reader.name, self.lesson or "no lesson", self.title, state_of(self.session), used


class Classroom:
    """The readers and their open pages; thread-safe.

    Attributes
    ----------
    open : bool
        Whether this server has a class, which readers and a teacher then see.
    """

    def __init__(self) -> None:
        self.open = False
        self._lock = threading.Lock()
        self._readers: dict[str, Reader] = {}
        self._seats: dict[int, Seat] = {}
        self._notices: dict[int, Callable[[str], object]] = {}
        self._count = 0
        self._process = psutil.Process()

    def reader(self, key: str) -> Reader:
        """The reader with this name in its cookie."""
        with self._lock:
            if key not in self._readers:
                self._count += 1
                self._readers[key] = Reader(self._count)
                here = [seat.reader for seat in self._seats.values()]
                gone = [name for name, reader in self._readers.items() if reader not in here]
                for name in gone[: max(0, len(self._readers) - MOST_READERS)]:
                    del self._readers[name]
            return self._readers[key]

    def note(self, page: int, seat: Seat) -> None:
        """Say what a page shows now."""
        with self._lock:
            self._seats[page] = seat

    def listen(self, page: int, tell: Callable[[str], object]) -> None:
        """Have ``tell`` called with the notice that this server ends."""
        with self._lock:
            self._notices[page] = tell

    def leave(self, page: int) -> None:
        """Forget what a page showed."""
        with self._lock:
            self._seats.pop(page, None)

    def ignore(self, page: int) -> None:
        """Give no notice to a page that was closed."""
        with self._lock:
            self._notices.pop(page, None)

    def start(self) -> None:
        """Open the class, before its server starts: shares of the processors go by readers; see ``park``."""
        self.open = True
        self._process.cpu_percent()

    def close(self) -> None:
        """Tell every open page that the class has ended; takes ``CLOSING_NOTICE_WAIT`` s at most."""
        with self._lock:
            tells = list(self._notices.values())
        threads = [threading.Thread(target=tell, args=(CLOSING_NOTICE,), daemon=True) for tell in tells]
        for thread in threads:
            thread.start()
        end = time.monotonic() + CLOSING_NOTICE_WAIT
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))

    async def park(self) -> None:
        """Park idle models, and return what readers who have left took, as long as the class is open.

        AnyIO ends idle threads of its own, in which Solara serves one page each, when the next work is given
        to one of them.
        """
        while self.open:
            await asyncio.sleep(IDLE / 6)
            await run_sync(park_idle, IDLE)
            return_memory()

    def table(self) -> str:
        """The table of the teacher's page, as HTML."""
        with self._lock:
            seats = sorted(self._seats.values(), key=lambda seat: seat.reader.number)
        running = sum(seat.session is not None and seat.session.playing for seat in seats)
        readers = len({seat.reader.number for seat in seats})
        used, held = self._process.cpu_percent() / 100, self._process.memory_info().rss / 1e6
        load = f"{used:.1f} of {psutil.cpu_count()} processors, {held:,.0f} MB"
        rows = "".join(
            f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in seat.row())}</tr>" for seat in seats
        )
        heads = "".join(f'<th scope="col">{head}</th>' for head in COLUMNS)
        return (
            f"<p>{readers} {'reader' if readers == 1 else 'readers'}, {running} "
            f"{'model runs' if running == 1 else 'models run'}, {TURNS.active()} computing now; {load}.</p>"
            f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
        )

    @staticmethod
    def key() -> str:
        """The teacher's key to the lessons, as a page; readers of a class have no link to it."""
        from exoabm.viz.teaching.worksheets import Progress, printed

        return printed("key", Progress()).decode()

    def page(self, address: str) -> str:
        """The teacher's page; ``address`` is the one to share."""
        return _PAGE.format(address=escape(address), table=self.table(), every=round(1000 * REFRESH))


def state_of(session: Session | None) -> str:
    """What a run is doing, in words."""
    if session is None:
        return ""
    time_h = f"{two_decimals(session.time / 3600)} of {session.end / 3600:g} h"
    if session.error:
        return f"stopped at {time_h}: {session.error}"
    if session.preparing:
        return "getting ready"
    if session.finished:
        return f"finished, {session.end / 3600:g} h"
    return f"{'runs' if session.playing else 'idle' if session.held.parked else 'paused'}, {time_h}"


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>exoabm: class</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.45 "Helvetica Neue", Arial, sans-serif; max-width: 70em; }}
body {{ margin: 2em auto; padding: 0 1em; }}
h1 {{ font-size: 1.3em; }} table {{ border-collapse: collapse; width: 100%; }}
td, th {{ text-align: left; padding: 4px 14px 4px 0; border-top: 1px solid #8794a0; vertical-align: top; }}
code {{ font-size: 1.05em; overflow-wrap: anywhere; }}
td:last-child, th:last-child {{ text-align: right; padding-right: 0; }} #lost {{ color: #b3261e; }}
@media (prefers-color-scheme: dark) {{ #lost {{ color: #ffb4ab; }} }}
</style></head><body>
<h1>Class</h1>
<p>Address for readers: <code>{address}</code></p>
<p><a href="?key">Key to the lessons</a>: answers and explanations; readers of a class do not see it.</p>
<p id="lost" role="alert" hidden>The server does not answer; the table below is of before.</p>
<main id="table">{table}</main>
<script>
setInterval(async () => {{
  const lost = document.getElementById("lost");
  try {{
    const answer = await fetch("?table");
    if (!answer.ok) throw answer;
    document.getElementById("table").innerHTML = await answer.text();
    lost.hidden = true;
  }} catch (error) {{ lost.hidden = false; }}
}}, {every});
</script>
</body></html>
"""


CLASSROOM = Classroom()
"""Of this process."""


def reader_key() -> str:
    """The name of the browser on whose behalf this thread works; "" where there is none."""
    from solara.server import kernel_context

    if not kernel_context.has_current_context():
        return ""
    return str(kernel_context.get_current_context().session_id)


def account_here() -> Account:
    """For ``TURNS.whose``: the account of the reader of this thread; a new one where there is none."""
    return CLASSROOM.reader(name).account if (name := reader_key()) else Account()
