"""Parser for the text of a compiled XLA program."""

import math
import re
from typing import NamedTuple

BITS = {"pred": 8, "token": 0, "opaque": 0}  # Types whose names do not end in their width.
_SHAPE = re.compile(r"([a-z]\w*)\[([\d,<=]*)\](?:\{([^}]*)\})?")
_HEADER = re.compile(r"(ENTRY )?%?([\w.\-]+) .*\{$")
_INSTRUCTION = re.compile(r"\s+(ROOT )?%?([\w.\-]+) = ")
_COMMENT = re.compile(r"/\*.*?\*/")
_CALLED = re.compile(r"\b(?:calls|to_apply|body|condition|true_computation|false_computation)=%?([\w.\-]+)")
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")


class Instruction(NamedTuple):
    """One line of a program.

    Attributes:
      name: Name, which is unique in the program.
      type: Type of the result with its layouts; a tuple is in parentheses.
      opcode: Opcode, such as ``fusion``.
      operands: Names of the operands, or the value of a constant.
      attributes: Rest of the line.
    """

    name: str
    type: str
    opcode: str
    operands: tuple[str, ...]
    attributes: str

    @property
    def cycles(self) -> int:
        """Estimated cycles of one execution, or 0 if there is no estimate."""
        match = re.search(r'"estimated_cycles":"?(\d+)', self.attributes)
        return int(match[1]) if match else 0

    @property
    def origin(self) -> str:
        """Name of the operation in the traced function (``op_name``), or an empty string."""
        match = re.search(r'op_name="([^"]*)"', self.attributes)
        return match[1] if match else ""


class Array(NamedTuple):
    """An array within a type.

    Attributes:
      bytes: Size in bytes, without padding.
      space: Number of its memory space; 0 is HBM.
    """

    bytes: int
    space: int


class Program(NamedTuple):
    """A parsed program.

    Attributes:
      computations: Instructions of each computation, by name.
      entry: Name of the computation that runs.
      roots: Name of the result of each computation.
    """

    computations: dict[str, dict[str, Instruction]]
    entry: str
    roots: dict[str, str]


def arrays(text: str) -> list[Array]:
    """Returns the arrays of a type, with tuples flattened.

    >>> arrays("(f32[8,4]{1,0:T(8,128)}, bf16[3]{0:T(128)S(1)}, pred[])")
    [Array(bytes=128, space=0), Array(bytes=6, space=1), Array(bytes=1, space=0)]
    """
    found = []
    for name, dimensions, layout in _SHAPE.findall(text):
        width = re.match(r"[a-z]+(\d+)", name)
        bits = BITS[name] if name in BITS else int(width[1]) if width else 0
        size = math.prod(int(side.lstrip("<=")) for side in dimensions.split(",") if side)
        space = re.search(r"S\((\d+)\)", layout)
        found.append(Array(-(-size * bits // 8), int(space[1]) if space else 0))
    return found


def size(text: str) -> int:
    """Returns the number of bytes of a type, without padding."""
    return sum(array.bytes for array in arrays(text))


def dimensions(text: str) -> tuple[int, ...]:
    """Returns the dimensions of the type of an array.

    >>> dimensions("f32[8,4]{1,0:T(8,128)}"), dimensions("pred[]")
    ((8, 4), ())
    """
    found = _SHAPE.findall(text)
    return tuple(int(side.lstrip("<=")) for side in found[0][1].split(",") if side)


def axes(x: Instruction, name: str) -> tuple[int, ...]:
    """Returns the numbers of ``name={...}`` in the attributes of an instruction, empty if absent."""
    listed = re.search(rf"\b{name}=\{{([\d,]*)\}}", x.attributes)
    return tuple(map(int, listed[1].split(","))) if listed and listed[1] else ()


def multiplications(x: Instruction, left: tuple[int, ...], right: tuple[int, ...]) -> int:
    """Returns how many pairs of elements a ``dot`` or ``convolution`` multiplies.

    Products with zeros that a convolution inserts itself (padding and dilation) do not count.

    Args:
      x: Instruction.
      left: Dimensions of its first operand.
      right: Dimensions of its second operand.

    Raises:
      ValueError: A convolution has no ``dim_labels``.
    """
    if x.opcode == "dot":
        summed = math.prod(left[axis] for axis in axes(x, "lhs_contracting_dims"))
        return math.prod(dimensions(x.type)) * summed
    labels = re.search(r"dim_labels=(\w+)_(\w+)->(\w+)", x.attributes)
    if labels is None:
        raise ValueError(f"{x.name}: a convolution without dim_labels")
    images, kernel, outputs = (
        dict(zip(names, sides, strict=True))
        for names, sides in zip(labels.groups(), (left, right, dimensions(x.type)), strict=True)
    )
    pairs = outputs["b"] * outputs["f"] * kernel["i"]
    for axis in (name for name in kernel if name.isdigit()):
        number = int(axis)
        stride, dilation = _window(x, "stride", number, "1"), _window(x, "lhs_dilate", number, "1")
        low, spread = _window(x, "pad", number, "0_0"), _window(x, "rhs_dilate", number, "1")
        end = (images[axis] - 1) * dilation
        places = (i * stride + j * spread - low for i in range(outputs[axis]) for j in range(kernel[axis]))
        pairs *= sum(0 <= place <= end and place % dilation == 0 for place in places)
    return pairs


def _window(x: Instruction, name: str, axis: int, default: str) -> int:
    """Returns a number of the window of a convolution, or a default where it is absent.

    For padding, this is the padding before the image.
    """
    found = re.search(rf"window=\{{[^}}]*\b{name}=([\w\-]+)", x.attributes)
    value = found[1].split("x")[axis] if found else default
    return int(value.split("_")[0])


def _closing(text: str, start: int) -> int:
    """Returns the position of the parenthesis that closes the one at ``start``."""
    depth = 0
    for match in re.compile(r'"(?:\\.|[^"\\])*"|[()]').finditer(text, start):
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        if depth == 0:
            return match.start()
    raise ValueError(f"an unclosed parenthesis in {text[:200]!r}")


def _instruction(line: str, name: str, start: int) -> Instruction:
    end = _closing(line, start) + 1 if line[start] == "(" else line.index(" ", start)
    opening = line.index("(", end)
    closing = _closing(line, opening)
    opcode = line[end:opening].strip()
    inside = _COMMENT.sub("", line[opening + 1 : closing])
    operands = (inside,) if opcode in ("constant", "parameter") else re.findall(r"%([\w.\-]+)", inside)
    return Instruction(name, line[start:end], opcode, tuple(operands), line[closing + 1 :])


def parse(text: str) -> Program:
    """Parses a scheduled module as XLA prints it.

    Raises:
      ValueError: The text has no entry computation.
    """
    computations: dict[str, dict[str, Instruction]] = {}
    roots: dict[str, str] = {}
    entry = current = None
    for line in text.splitlines():
        if header := _HEADER.match(line):
            current = header[2]
            computations[current] = {}
            entry = current if header[1] else entry
        elif line.startswith("}"):
            current = None
        elif current is not None and (start := _INSTRUCTION.match(line)):
            instruction = _instruction(line, start[2], start.end())
            computations[current][instruction.name] = instruction
            if start[1]:
                roots[current] = instruction.name
    if entry is None:
        raise ValueError("the text has no ENTRY: it is not a compiled program's")
    return Program(computations, entry, roots)


def called(instruction: Instruction) -> list[str]:
    """Returns the names of the computations that an instruction runs or applies."""
    names = _CALLED.findall(instruction.attributes)
    for group in _BRANCHES.findall(instruction.attributes):
        names += [name.strip().lstrip("%") for name in group.split(",")]
    return names


def attribute(instruction: Instruction, name: str) -> str:
    """Returns the value of ``name=value`` in the attributes of an instruction, or an empty string."""
    match = re.search(rf"\b{name}=%?([\w.\-]+)", instruction.attributes)
    return match[1] if match else ""


def source(program: Program, computation: str, name: str) -> Instruction:
    """Resolves a value through copies, and through tuples made in the same computation."""
    instruction = program.computations[computation][name]
    if instruction.opcode in ("copy", "bitcast", "copy-done", "copy-start"):
        return source(program, computation, instruction.operands[0])
    if instruction.opcode == "get-tuple-element":
        whole = source(program, computation, instruction.operands[0])
        if whole.opcode == "tuple":
            return source(program, computation, whole.operands[int(attribute(instruction, "index"))])
    return instruction


def trip_count(program: Program, computation: str, loop: Instruction) -> int | None:
    """Returns how often a ``while`` loop runs its body, or None if the text does not tell.

    The number comes from ``known_trip_count``, or from a counter as ``lax.scan`` and ``lax.fori_loop``
    create it: an element of the carried tuple that starts at a constant, increases by a constant in the
    body, and must be less than a constant.

    Args:
      program: Parsed program.
      computation: Name of the computation that contains the loop.
      loop: The ``while`` instruction.
    """
    known = re.search(r'"known_trip_count":\{"n":"?(\d+)', loop.attributes)
    if known:
        return int(known[1])
    condition, body = attribute(loop, "condition"), attribute(loop, "body")
    before = source(program, computation, loop.operands[0])
    after = source(program, body, program.roots[body])
    test = source(program, condition, program.roots[condition])
    if before.opcode != "tuple" or after.opcode != "tuple" or test.opcode != "compare":
        return None

    def constant(where: str, name: str) -> int | None:
        found = source(program, where, name)
        number = found.opcode == "constant" and re.fullmatch(r"-?\d+", found.operands[0])
        return int(number[0]) if number else None

    def index(where: str, name: str) -> int | None:
        """Returns which element of the carried tuple a value in the body or the condition is."""
        found = source(program, where, name)
        if found.opcode != "get-tuple-element":
            return None
        whole = source(program, where, found.operands[0])
        return int(attribute(found, "index")) if whole.opcode == "parameter" else None

    def fixed(where: str, name: str) -> int | None:
        """Returns the value of a constant, or of an element that is carried along unchanged."""
        i = index(where, name)
        if i is not None and index(body, after.operands[i]) == i:
            return constant(computation, before.operands[i])
        return constant(where, name)

    counter, bound = index(condition, test.operands[0]), fixed(condition, test.operands[1])
    if counter is None or bound is None or attribute(test, "direction") != "LT":
        return None
    start, gain = (
        constant(computation, before.operands[counter]),
        source(program, body, after.operands[counter]),
    )
    if start is None or gain.opcode != "add" or counter not in [index(body, x) for x in gain.operands]:
        return None
    steps = [step for step in (fixed(body, x) for x in gain.operands) if step is not None]
    return max(0, -(-(bound - start) // steps[0])) if len(steps) == 1 and steps[0] > 0 else None
