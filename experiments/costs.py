"""What a compiled program costs: cycles by the compiler's own model, matrix products, bytes, collectives.

XLA's TPU compiler writes its cost model into the program: ``estimated_cycles`` in the ``backend_config`` of
what it schedules. Those are the compiler's estimates, never measurements. Collectives and copies between
memories carry none.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from experiments import hlo
from experiments.hlo import Array, Instruction, Program, arrays, attribute, called, size, trip_count

HBM = 0  # its number among the memories
COLLECTIVES = (
    "all-gather",
    "all-reduce",
    "all-to-all",
    "collective-broadcast",
    "collective-permute",
    "ragged-all-to-all",
    "reduce-scatter",
)
# What moves no bytes: names for what is there already, and what only holds other computations.
FREE = (
    "after-all",
    "bitcast",
    "call",
    "conditional",
    "constant",
    "get-tuple-element",
    "opt-barrier",
    "parameter",
    "partition-id",
    "replica-id",
    "tuple",
    "while",
)
_FREE_CALL = re.compile(r'custom_call_target="(AllocateBuffer|ConcatBitcast)"')


class Execution(NamedTuple):
    """An instruction of a computation, and how often it runs in one call of the program."""

    computation: str
    instruction: Instruction
    times: int

    @property
    def cycles(self) -> int:
        """The compiler's estimate for all the times together."""
        return self.times * self.instruction.cycles


class Collective(NamedTuple):
    """All collectives of one kind: how often they run, and the bytes that a device gives or gets."""

    calls: int
    bytes: int


class Op(NamedTuple):
    """What one instruction costs by the compiler's estimate, over all its executions."""

    cycles: int
    name: str
    opcode: str
    type: str
    origin: str


class Product(NamedTuple):
    """A matrix product or convolution: its FLOPs over all its executions, and where it comes from."""

    flops: int
    name: str
    opcode: str
    type: str
    origin: str


def executions(program: Program) -> tuple[list[Execution], list[str]]:
    """All that runs when a program is called once.

    A loop's body counts as often as it runs, a called computation once a call, and of a conditional's
    branches the dearest. Fusions are one instruction: what is inside them is not listed.

    Returns:
      The executions, and the names of loops whose length the text does not tell: they count once.
    """
    unknown = []

    def run(computation: str, times: int) -> Iterator[Execution]:
        for instruction in program.computations[computation].values():
            yield Execution(computation, instruction, times)
            if instruction.opcode == "while":
                rounds = trip_count(program, computation, instruction)
                if rounds is None:
                    unknown.append(instruction.name)
                    rounds = 1
                yield from run(attribute(instruction, "body"), times * rounds)
                yield from run(attribute(instruction, "condition"), times * (rounds + 1))
            elif instruction.opcode == "conditional":
                branches = [list(run(name, times)) for name in called(instruction)]
                yield from max(branches, key=lambda branch: sum(x.cycles for x in branch))
            elif instruction.opcode in ("call", "async-start") and not instruction.cycles:
                for name in called(instruction):
                    yield from run(name, times)

    return list(run(program.entry, 1)), sorted(set(unknown))


def dearest(program: Program) -> list[Op]:
    """What the compiler gave an estimate, dearest first."""
    ops = []
    for execution in executions(program)[0]:
        x = execution.instruction
        if execution.cycles:
            ops.append(Op(execution.cycles, x.name, x.opcode, x.type, x.origin))
    return sorted(ops, key=lambda op: (-op.cycles, op.name))


def within(program: Program) -> list[Execution]:
    """What runs when a program is called once, fusions and what is inside them."""
    found: list[Execution] = []

    def add(execution: Execution) -> None:
        found.append(execution)
        _, x, times = execution
        for name in called(x) if x.opcode == "fusion" else ():
            for y in program.computations[name].values():
                add(Execution(name, y, times))

    for execution in executions(program)[0]:
        add(execution)
    return found


def collectives(program: Program) -> dict[str, Collective]:
    """The collectives of each kind, those inside fusions included.

    The bytes of one are those of its operands or of its result, whichever are more: what a device gives to
    a reduction or gets from a gathering. How often the network carries them is the algorithm's affair.
    """
    counts: dict[str, int] = defaultdict(int)
    moved: dict[str, int] = defaultdict(int)
    for computation, x, times in within(program):
        kind = x.opcode.removesuffix("-done")
        if kind in COLLECTIVES and times:
            counts[kind] += times
            # The result of a -start holds its operands as well: its -done has the result alone.
            given = 0 if x.opcode != kind else sum(size(t) for t in operand_types(program, computation, x))
            moved[kind] += times * max(given, size(x.type))
    return {kind: Collective(counts[kind], moved[kind]) for kind in sorted(counts)}


def products(program: Program) -> list[Product]:
    """The matrix products and convolutions of a program, those inside fusions included, dearest first.

    A multiplication and an addition are two FLOPs. Products with padding, and with the zeros between
    dilated elements, are none.

    Raises:
      ValueError: the text does not tell how often a loop runs.
    """
    unknown = executions(program)[1]
    if unknown:
        raise ValueError(f"loops of unknown length: {', '.join(unknown)}")
    found = []
    for computation, x, times in within(program):
        if x.opcode in ("dot", "convolution"):
            sides = [hlo.dimensions(t) for t in operand_types(program, computation, x)]
            flops = 2 * times * hlo.multiplications(x, *sides)
            found.append(Product(flops, x.name, x.opcode, x.type, x.origin))
    return sorted(found, key=lambda product: (-product.flops, product.name))


def operand_types(program: Program, computation: str, x: Instruction) -> list[str]:
    """The types of an instruction's operands."""
    return [program.computations[computation][name].type for name in x.operands]


def hbm_bytes(program: Program) -> int:
    """Bytes read from and written to HBM: operands and results that lie there, whole and unpadded."""
    total = 0
    for computation, x, times in executions(program)[0]:
        # A -start is counted with its -done, whose type is what was moved and nothing else.
        if x.opcode in FREE or x.opcode.endswith("-start") or _FREE_CALL.search(x.attributes):
            continue
        moved = arrays(x.type)
        if x.opcode.endswith("-done"):
            start = program.computations[computation][x.operands[0]]
            sources = arrays(" ".join(operand_types(program, computation, start)))
            # Of an operand that is sliced, only what arrives is read.
            moved += [Array(size(x.type), space) for space in {source.space for source in sources}]
        else:
            moved += arrays(" ".join(operand_types(program, computation, x)))
        total += times * sum(array.bytes for array in moved if array.space == HBM)
    return total


def shape(text: str) -> str:
    """A type without layouts, of a tuple its largest member: enough to recognise an op by.

    >>> shape("(f32[64]{0:T(128)}, bf16[64,32,32,64]{3,0,2,1:T(8,128)})")
    'bf16[64,32,32,64]'
    """
    members = re.findall(r"[a-z]\w*\[[\d,<=]*\]", text)
    return max(members, key=size, default=text)
