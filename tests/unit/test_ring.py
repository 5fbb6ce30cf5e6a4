"""A ring buffer as the kernel leaves it in memory, made in a file of memory: positions, headers, wrap-around."""

from __future__ import annotations

import errno
import mmap
import os
import random
import struct
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from ebtop.kernel.artifact import Layout
from ebtop.kernel.ring import Ring

PAGE = mmap.PAGESIZE
SIZE = PAGE
LAYOUT = Layout(("number", "text"), "=I13s")
"""17 bytes, which the kernel rounds up to 24; a header of 8 comes before."""
STEP = 32
BUSY, DISCARDED = 1 << 31, 1 << 30


class Producer:
    """What a BPF program does to a ring: reserve, then submit or discard."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("ring")
        os.ftruncate(self.fd, 2 * PAGE + 2 * SIZE)
        self._memory = mmap.mmap(self.fd, 2 * PAGE + 2 * SIZE)
        self.position = 0

    def start_at(self, position: int) -> None:
        """As if so many bytes had gone through already."""
        self.position = position
        struct.pack_into("=Q", self._memory, 0, position)
        struct.pack_into("=Q", self._memory, PAGE, position)

    @property
    def consumed(self) -> int:
        return int(struct.unpack_from("=Q", self._memory, 0)[0])

    def reserve(self, number: int) -> int:
        """Make room for a record and fill it; returns what `submit` and `discard` want."""
        at = self.position
        assert at + STEP - self.consumed <= SIZE, "the kernel would refuse"
        header = struct.pack("=II", LAYOUT.size | BUSY, 0)
        self._write(at, header + struct.pack(LAYOUT.format, number, b"record %d" % number))
        self.position += STEP
        struct.pack_into("=Q", self._memory, PAGE, self.position)
        return at

    def submit(self, at: int) -> None:
        self._write(at, struct.pack("=I", LAYOUT.size))

    def discard(self, at: int) -> None:
        self._write(at, struct.pack("=I", LAYOUT.size | DISCARDED))

    def put(self, number: int) -> None:
        self.submit(self.reserve(number))

    def _write(self, position: int, data: bytes) -> None:
        for i, byte in enumerate(data):
            for copy in (0, SIZE):
                self._memory[2 * PAGE + copy + (position + i) % SIZE] = byte


@pytest.fixture
def producer() -> Iterator[Producer]:
    made = Producer()
    yield made
    os.close(made.fd)


@pytest.fixture
def ring(producer: Producer) -> Iterator[Ring]:
    bpf_map: Any = SimpleNamespace(fd=producer.fd, spec=SimpleNamespace(max_entries=SIZE))
    opened = Ring(bpf_map, LAYOUT)
    yield opened
    opened.close()


def numbers(ring: Ring) -> list[int]:
    """Drain; asserts that each record is whole."""
    drained = ring.drain()
    for number, text in drained:
        assert text.rstrip(b"\0") == b"record %d" % number
    return [number for number, _ in drained]


def test_nothing(ring: Ring) -> None:
    assert numbers(ring) == []
    assert ring.fill == 0


def test_in_order_and_only_once(ring: Ring, producer: Producer) -> None:
    for number in range(5):
        producer.put(number)
    assert ring.fill == 5 * STEP / SIZE
    assert numbers(ring) == [0, 1, 2, 3, 4]
    assert numbers(ring) == []
    assert producer.consumed == producer.position
    assert ring.fill == 0


@pytest.mark.parametrize("before_the_end", range(8, 2 * STEP + 8, 8))
def test_wrap_around_at_every_place(ring: Ring, producer: Producer, before_the_end: int) -> None:
    producer.start_at(3 * SIZE - before_the_end)
    for number in range(6):
        producer.put(number)
    assert numbers(ring) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("start", [0, 8, SIZE - 8, SIZE - STEP, 7 * SIZE + 1000])
def test_a_ring_that_is_full_to_the_last_byte(ring: Ring, producer: Producer, start: int) -> None:
    producer.start_at(start)
    for number in range(SIZE // STEP):
        producer.put(number)
    assert ring.fill == 1
    assert numbers(ring) == list(range(SIZE // STEP))
    assert ring.fill == 0


def test_a_busy_record_holds_back_what_comes_after_it(ring: Ring, producer: Producer) -> None:
    producer.put(0)
    slow = producer.reserve(1)
    producer.put(2)
    assert numbers(ring) == [0]
    assert numbers(ring) == []
    producer.submit(slow)
    assert numbers(ring) == [1, 2]


def test_a_discarded_record_is_passed_over(ring: Ring, producer: Producer) -> None:
    producer.discard(producer.reserve(0))
    producer.put(1)
    producer.discard(producer.reserve(2))
    assert numbers(ring) == [1]
    assert producer.consumed == producer.position


def test_discarded_before_busy(ring: Ring, producer: Producer) -> None:
    producer.discard(producer.reserve(0))
    slow = producer.reserve(1)
    producer.discard(producer.reserve(2))
    producer.put(3)
    assert numbers(ring) == []
    assert producer.consumed == STEP
    producer.discard(slow)
    assert numbers(ring) == [3]


def test_the_writer_can_not_change_what_was_drained(ring: Ring, producer: Producer) -> None:
    producer.put(7)
    ((number, text),) = ring.drain()
    for again in range(SIZE // STEP):
        producer.put(100 + again)
    assert (number, text.rstrip(b"\0")) == (7, b"record 7")


@pytest.mark.parametrize("seed", range(5))
def test_any_order_of_reserve_submit_discard_and_drain(ring: Ring, producer: Producer, seed: int) -> None:
    """Everything submitted comes out once and in the order of its reservation."""
    draw = random.Random(seed)
    producer.start_at(draw.randrange(1 << 30) // 8 * 8)
    open_records: list[tuple[int, int]] = []
    submitted: set[int] = set()
    came: list[int] = []
    for number in range(2000):
        if producer.position + STEP - producer.consumed <= SIZE:
            open_records.append((number, producer.reserve(number)))
        while open_records and draw.random() < 0.5:
            done, at = open_records.pop(draw.randrange(len(open_records)))
            if draw.random() < 0.2:
                producer.discard(at)
            else:
                producer.submit(at)
                submitted.add(done)
        if draw.random() < 0.3:
            came += numbers(ring)
    for done, at in open_records:
        producer.submit(at)
        submitted.add(done)
    came += numbers(ring)
    assert came == sorted(submitted)


def test_without_memory_everything_stays(ring: Ring, producer: Producer, monkeypatch: pytest.MonkeyPatch) -> None:
    producer.put(1)
    with monkeypatch.context() as patched:
        patched.setattr(mmap, "mmap", _no_memory)
        assert ring.pull() == STEP / SIZE
        assert numbers(ring) == []
    assert numbers(ring) == [1]


def _no_memory(*_: object, **__: object) -> None:
    raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))


def test_what_was_pulled_can_be_drained_after_closing(ring: Ring, producer: Producer) -> None:
    producer.put(1)
    ring.pull()
    ring.close()
    assert numbers(ring) == [1]
    assert ring.fill == 0
    assert ring.pull() == 0


def test_what_nobody_drains_is_bounded_and_counted(
    ring: Ring, producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ebtop.kernel.ring.MAX_WAITING_BYTES", 3 * STEP)
    for number in range(5):
        producer.put(number)
        ring.pull()
    assert ring.lost == 2
    assert numbers(ring) == [0, 1, 2]
    producer.put(5)
    assert numbers(ring) == [5]
