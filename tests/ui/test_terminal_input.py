"""What a terminal sends, as messages: keys whole and in pieces, a lone Esc, and a terminal that goes away."""

from __future__ import annotations

import asyncio
import os
import pty
import tty
from collections.abc import AsyncIterator, Callable

import pytest
from textual.events import Key, Paste
from textual.message import Message

from ebtop.ui.terminal_input import TerminalInput

LIMIT_S = 10.0


class Typing:
    """A terminal with nobody but the test at it, and what has come of what was typed."""

    def __init__(self) -> None:
        self.terminal, self.ours = pty.openpty()
        tty.setraw(self.ours)
        self.slow = False
        self.messages: list[Message] = []
        self.came = asyncio.Event()
        self.input = TerminalInput(self.ours, asyncio.get_running_loop(), self._take, lambda: self.slow)

    def _take(self, message: Message) -> None:
        self.messages.append(message)
        self.came.set()

    def type(self, text: str) -> None:
        os.write(self.terminal, text.encode())

    async def until(self, condition: Callable[[], bool]) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + LIMIT_S
        while not condition():
            assert loop.time() < end
            await asyncio.sleep(0)

    @property
    def in_a_sequence(self) -> bool:
        """Whether an Esc has been read that may be the beginning of another key."""
        return self.input._parser._timeout_time is not None

    async def keys(self, count: int) -> list[str]:
        """Once there are so many."""
        while len(self.messages) < count:
            self.came.clear()
            await asyncio.wait_for(self.came.wait(), LIMIT_S)
        return [message.key for message in self.messages if isinstance(message, Key)]


@pytest.fixture
async def typing() -> AsyncIterator[Typing]:
    at = Typing()
    at.input.start()
    yield at
    at.input.stop()
    os.close(at.terminal)
    os.close(at.ours)


async def test_keys_come_in_the_order_they_were_typed(typing: Typing) -> None:
    typing.type("2\x1b[Bä\x1b[A?")
    assert await typing.keys(5) == ["2", "down", "ä", "up", "question_mark"]


async def test_a_lone_escape_is_a_key(typing: Typing) -> None:
    typing.type("\x1b")
    assert await typing.keys(1) == ["escape"]


async def test_pieces_of_a_sequence_are_one_key(typing: Typing) -> None:
    typing.slow = True
    typing.type("\x1b")
    await asyncio.sleep(0)
    typing.type("[")
    await asyncio.sleep(0)
    typing.type("B")
    assert await typing.keys(1) == ["down"]


async def test_a_sequence_that_waits_while_the_program_is_busy_is_one_key(typing: Typing) -> None:
    typing.type("\x1b")
    await typing.until(lambda: typing.in_a_sequence)
    typing.type("[B")
    typing.input._give_up_waiting()
    assert await typing.keys(1) == ["down"]


async def test_half_a_character_waits_for_the_other_half(typing: Typing) -> None:
    os.write(typing.terminal, "ä".encode()[:1])
    await typing.until(lambda: bool(typing.input._decoder.getstate()[0]))
    os.write(typing.terminal, "ä".encode()[1:])
    assert await typing.keys(1) == ["ä"]


async def test_a_long_paste_comes_whole(typing: Typing) -> None:
    text = "pid:1 or " * 1000
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, typing.type, f"\x1b[200~{text}\x1b[201~")
    await typing.keys(1)
    (paste,) = typing.messages
    assert isinstance(paste, Paste)
    assert paste.text == text


async def test_what_is_typed_can_be_seen_before_it_is_read(typing: Typing) -> None:
    assert not typing.input.waiting
    typing.type("x")
    assert typing.input.waiting
    assert await typing.keys(1) == ["x"]
    assert not typing.input.waiting


async def test_what_is_typed_after_a_stop_is_somebody_elses(typing: Typing) -> None:
    typing.type("\x1b")
    await typing.until(lambda: typing.in_a_sequence)
    typing.input.stop()
    typing.type("x")
    assert not typing.input.waiting
    assert os.read(typing.ours, 10) == b"x"
    typing.input.start()
    typing.type("y")
    assert await typing.keys(1) == ["y"], "the Esc from before the stop is forgotten"


async def test_a_terminal_that_goes_away_is_not_looked_at_again() -> None:
    typing = Typing()
    typing.input.start()
    os.close(typing.terminal)
    await typing.until(lambda: not typing.input._started)
    assert not asyncio.get_running_loop().remove_reader(typing.ours)
    assert typing.messages == []
    os.close(typing.ours)
