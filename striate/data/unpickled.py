"""The values in a pickle of the year 2009, read without running it.

A pickle is a program. This reads the few instructions that a dictionary of numbers, strings, lists and an array of
bytes needs (protocol 2, as Python 2 wrote it), takes the names of NumPy's constructors for what they mean in such a
file, and refuses everything else: no name is looked up, nothing is imported, nothing is called.

Source:  CPython, Lib/pickletools.py (what each instruction means); NumPy, ndarray.__reduce__.
Checked: against the standard library on written batches, on every other instruction and on random damage, in
         tests/data/test_cifar.py.
"""

import math
import struct
from typing import Any, Never

import numpy as np

from striate.errors import DatasetError

REBUILD, NDARRAY, DTYPE = (
    "numpy.core.multiarray\n_reconstruct",
    "numpy\nndarray",
    "numpy\ndtype",
)  # text: data are bytes
EMPTY_ARRAY = (NDARRAY, (0,), b"b")
ONE_BYTE = (b"u1", 0, 1)
BYTE_STATE = (3, b"|", None, None, None, -1, -1, 0)
PLAIN = (bytes, int, type(None), np.ndarray)


class _Empty:
    """An array that a later instruction fills."""


class _Byte:
    """The one type of number that an array may have."""


class _Reader:
    """One pass over the instructions."""

    def __init__(self, content: bytes, where: str) -> None:
        self.content, self.where, self.at = content, where, 0
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []  # the stacks that wait while the items of a list, tuple or dictionary come
        self.memo: dict[int, Any] = {}

    def refuse(self, what: str) -> Never:
        raise DatasetError(f"{self.where}: at byte {self.at:,}: {what}; it is damaged, or not an original batch")

    def take(self, n: int) -> bytes:
        piece = self.content[self.at : self.at + n]
        if n < 0 or len(piece) < n:
            self.refuse(f"{n:,} bytes were to follow, {len(piece):,} do")
        self.at += n
        return piece

    def number(self, form: str) -> int:
        return int(struct.unpack(form, self.take(struct.calcsize(form)))[0])

    def cut(self) -> list[Any]:
        items, self.stack = self.stack, self.below.pop()
        return items

    def last(self, n: int) -> tuple[Any, ...]:
        items = tuple(self.stack[-n:])
        if len(items) < n:
            self.refuse(f"{n} values were to be there, {len(items)} are")
        del self.stack[-n:]
        return items

    def run(self) -> Any:
        content = self.content
        while self.at < len(content):
            code = content[self.at : self.at + 1]
            self.at += 1
            match code:  # the most frequent first
                case b"K":
                    self.stack.append(self.number("<B"))
                case b"U":
                    self.stack.append(self.take(self.number("<B")))
                case b"q":
                    self.memo[self.number("<B")] = self.stack[-1]
                case b"r":
                    self.memo[self.number("<I")] = self.stack[-1]
                case b"T":
                    self.stack.append(self.take(self.number("<i")))
                case b"M":
                    self.stack.append(self.number("<H"))
                case b"J":
                    self.stack.append(self.number("<i"))
                case b"h":
                    self.stack.append(self.memo[self.number("<B")])
                case b"j":
                    self.stack.append(self.memo[self.number("<I")])
                case b"N":
                    self.stack.append(None)
                case b"\x89":
                    self.stack.append(False)
                case b"(":
                    self.below.append(self.stack)
                    self.stack = []
                case b"]":
                    self.stack.append([])
                case b"}":
                    self.stack.append({})
                case b"t":
                    items = self.cut()
                    self.stack.append(tuple(items))
                case b"\x85" | b"\x86" | b"\x87":
                    self.stack.append(self.last(code[0] - 0x84))
                case b"a" | b"e":
                    items = [self.stack.pop()] if code == b"a" else self.cut()
                    self.expect(list).extend(items)
                case b"s" | b"u":
                    items = list(self.last(2)) if code == b"s" else self.cut()
                    if not all(type(key) is bytes for key in items[::2]):  # nor is anything hashed that could be deep
                        self.refuse("a key that is not a name")
                    self.expect(dict).update(zip(items[::2], items[1::2], strict=True))
                case b"c":
                    self.stack.append(self.name())
                case b"R":
                    self.stack.append(self.made(*self.last(2)))
                case b"b":
                    self.build(self.stack.pop())
                case b"\x80":
                    if (protocol := self.number("<B")) != 2:
                        self.refuse(f"protocol {protocol}, expected 2")
                case b".":
                    return self.stack.pop()
                case _:
                    self.refuse(f"the instruction {code!r}, which no such file needs")
        self.refuse("it ends before its last instruction")

    def expect(self, kind: type) -> Any:
        if type(self.stack[-1]) is not kind:
            self.refuse(f"a {type(self.stack[-1]).__name__} where a {kind.__name__} belongs")
        return self.stack[-1]

    def name(self) -> str:
        end = self.content.index(b"\n", self.content.index(b"\n", self.at) + 1)
        name = self.take(end - self.at).decode(errors="backslashreplace")
        self.take(1)
        if name not in (REBUILD, NDARRAY, DTYPE):
            self.refuse(f"it names {name[:80].replace(chr(10), '.')!r}, which is not called")
        return name

    def made(self, name: Any, arguments: Any) -> Any:
        """What the two constructors give: an array to be filled, or the one type of number there is."""
        if type(name) is str and name == REBUILD and type(arguments) is tuple and arguments == EMPTY_ARRAY:
            return _Empty
        if type(name) is str and name == DTYPE and type(arguments) is tuple and arguments == ONE_BYTE:
            return _Byte
        self.refuse("a value made in another way than an array of bytes is")

    def build(self, state: Any) -> None:
        target = self.stack[-1]
        if target is _Byte and type(state) is tuple and state == BYTE_STATE:
            return
        if target is not _Empty or type(state) is not tuple or len(state) != 5:
            self.refuse("a state for what takes none")
        version, shape, kind, columns_first, pixels = state
        if version != 1 or kind is not _Byte or columns_first is not False or type(pixels) is not bytes:
            self.refuse("an array of something other than bytes, row by row")
        if (
            type(shape) is not tuple
            or not all(type(n) is int and n >= 0 for n in shape)
            or math.prod(shape) != len(pixels)
        ):
            self.refuse(f"an array of another shape than its {len(pixels):,} bytes")
        self.stack[-1] = np.frombuffer(pixels, dtype=np.uint8).reshape(shape)


def unpickled(content: bytes, where: str) -> dict[str, Any]:
    """The dictionary in a pickle, its keys as text, its other strings as bytes.

    Raises: DatasetError naming the file, the position and what does not belong there.
    """
    reader = _Reader(content, where)
    try:
        value = reader.run()
    except (IndexError, KeyError, TypeError, ValueError):
        reader.refuse("values that do not fit together")
    if reader.at != len(content) or type(value) is not dict:
        reader.refuse("expected one dictionary, and nothing after it")
    for key, one in value.items():
        if type(one) not in PLAIN and not (type(one) is list and all(type(item) in PLAIN for item in one)):
            reader.refuse(f"{key[:40]!r} is no number, string, array of bytes or list of such")
    return {key.decode(errors="backslashreplace"): one for key, one in value.items()}
