"""Tasks of a kernel that is made up: where their members are is chosen at random, and found again."""

import random
import struct

import pytest

from armprobe.targets.kerneltasks import TaskLayout, find_layout

BASE, SIZE = 0xC100_0000, 0x20_0000
DATA = (BASE, BASE + 0x10_0000)


class Kernel:
    """Memory with a first task in the data and others on the heap, in a list."""

    def __init__(self, chance: random.Random, *, names=("swapper/0", "init", "kthreadd", "sh")):
        self.memory = bytearray(chance.randbytes(SIZE))
        offsets = chance.sample(range(0x420, 0x1000, 16), 4)
        self.stack = chance.randrange(0, 0x400, 4)
        self.comm, self.tasks_at, self.pid, self.children = offsets
        places = [BASE + 0x4_0040, *(BASE + 0x12_0000 + 0x1800 * number for number in range(len(names) - 1))]
        self.tasks = places
        for number, (place, name) in enumerate(zip(places, names, strict=True)):
            after, before = places[(number + 1) % len(places)], places[number - 1]
            self.put(place + self.comm, name.encode().ljust(16, b"\0"))
            self.words(place + self.tasks_at, after + self.tasks_at, before + self.tasks_at)
            self.words(place + self.pid, number, number)
            self.words(place + self.stack, 0xE000_0000 + 0x4000 * number)
            # An empty list, as a task without children has.
            self.words(place + self.children, *[place + self.children] * 2)
        self.running, self.sp = places[-1], 0xE000_0000 + 0x4000 * (len(names) - 1) + 0x1F40
        # The name is elsewhere, too.
        self.put(BASE + 0x1_0000, b"swapper/0\0")

    def put(self, address, data):
        self.memory[address - BASE : address - BASE + len(data)] = data

    def words(self, address, *words):
        self.put(address, struct.pack(f"<{len(words)}I", *words))

    def read(self, address, size):
        start = address - BASE
        return bytes(self.memory[start : start + size]) if 0 <= start <= SIZE - size else bytes(size)

    def find(self):
        return find_layout(self.read, DATA, task=self.running, sp=self.sp)


@pytest.mark.parametrize("seed", range(6))
def test_name_and_number_are_found_wherever_they_are_in_a_task(seed):
    kernel = Kernel(random.Random(seed))
    assert kernel.find() == TaskLayout(comm=kernel.comm, pid=kernel.pid)


def test_a_kernel_for_one_processor_calls_its_first_task_otherwise():
    kernel = Kernel(random.Random(1), names=("swapper", "init", "kthreadd", "sh"))
    assert kernel.find() == TaskLayout(comm=kernel.comm, pid=kernel.pid)


def test_a_thread_which_is_not_in_the_list_of_processes_is_as_good():
    kernel = Kernel(random.Random(2))
    thread, leader = BASE + 0x14_0000, kernel.tasks[-1]
    kernel.put(thread, kernel.read(leader, 0x1800))
    kernel.words(thread + kernel.pid, 77, 3)
    kernel.words(thread + kernel.stack, 0xE010_0000)
    kernel.running, kernel.sp = thread, 0xE010_1E00
    assert kernel.find() == TaskLayout(comm=kernel.comm, pid=kernel.pid)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda kernel: kernel.put(kernel.tasks[2] + kernel.comm, b"something"),
        lambda kernel: kernel.words(kernel.tasks[1] + kernel.pid, 9),
        lambda kernel: kernel.words(kernel.tasks[1] + kernel.tasks_at + 4, 0),
        lambda kernel: setattr(kernel, "running", BASE + 0x18_0000),
        lambda kernel: setattr(kernel, "sp", 0xE0F0_0000),
        lambda kernel: kernel.words(kernel.running + kernel.pid, 0x7000_0000),
    ],
    ids=["no kthreadd", "other numbers", "broken list", "not a task", "another stack", "no number"],
)
def test_what_is_not_certain_is_not_said(spoil):
    kernel = Kernel(random.Random(3))
    spoil(kernel)
    assert kernel.find() is None
