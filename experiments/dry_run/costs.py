"""What a compiled program costs: cycles by the compiler's own model, matrix products, bytes, collectives.

XLA's TPU compiler writes its cost model into the program: ``estimated_cycles`` in the ``backend_config`` of
what it schedules. Those are the compiler's estimates, never measurements. Collectives and copies between
memories carry none.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from experiments.dry_run import hlo
from experiments.dry_run.hlo import Array, Instruction, Program, arrays, attribute, called, size, trip_count

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
# The conditional of `jaxgan.regularizers.every`, its derivative's included: one call in so many is due.
_LAZY = re.compile(r"\bevery_(\d+)\)*/cond$")


class Execution(NamedTuple):
    """An instruction of a computation, and how often it runs in one call of the program.

    That is a mean over calls: a fraction for what a lazy term computes at some of them only.
    """

    computation: str
    instruction: Instruction
    times: float

    @property
    def cycles(self) -> float:
        """The compiler's estimate for all the times together."""
        return self.times * self.instruction.cycles


class Collective(NamedTuple):
    """All collectives of one kind: how often they run, and the bytes that a device gives or gets."""

    calls: float
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


def executions(program: Program, *, whole: bool = False) -> tuple[list[Execution], list[str]]:
    """All that runs when a program is called once.

    A loop's body counts as often as it runs, a called computation once a call, and of a conditional's
    branches the dearest: by the compiler's estimate, where it gives none (on a CPU) by multiplications. Of
    the conditional of a term that is due at one call in k, the branch that computes it counts 1/k times and
    the idle one 1 − 1/k: the idle one is that of fewer multiplications, since filling its results with
    zeros may take more cycles. Fusions are one instruction: what is inside them is not listed.

    Args:
      program: parsed.
      whole: whether lazy terms count as if they were due at every call, as XLA's own analysis has them.

    Returns:
      The executions, and the names of loops whose length the text does not tell: they count once.
    """
    unknown = []

    def cycles(computation: str) -> float:
        return sum(x.cycles for x in run(computation, 1))

    def multiplied(computation: str) -> float:
        inside = (part for each in run(computation, 1) for part in _parts(program, each))
        return sum(x.times * _multiplications(program, x) for x in inside)

    def run(computation: str, times: float) -> Iterator[Execution]:
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
                branches = called(instruction)
                if not (lazy := _LAZY.search(instruction.origin)):
                    yield from run(max(branches, key=lambda x: (cycles(x), multiplied(x))), times)
                    continue
                idle, due = sorted(branches, key=lambda x: (multiplied(x), cycles(x)))
                interval = 1 if whole else int(lazy[1])
                yield from run(due, times / interval)
                yield from run(idle, times * (interval - 1) / interval)
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
            ops.append(Op(round(execution.cycles), x.name, x.opcode, x.type, x.origin))
    return sorted(ops, key=lambda op: (-op.cycles, op.name))


def _parts(program: Program, execution: Execution) -> Iterator[Execution]:
    """Yields an execution, and if it is a fusion what is inside it."""
    yield execution
    _, x, times = execution
    for name in called(x) if x.opcode == "fusion" else ():
        for y in program.computations[name].values():
            yield from _parts(program, Execution(name, y, times))


def within(program: Program, *, whole: bool = False) -> list[Execution]:
    """What runs when a program is called once, fusions and what is inside them, see :func:`executions`."""
    found = executions(program, whole=whole)[0]
    return [part for execution in found for part in _parts(program, execution)]


def _multiplications(program: Program, execution: Execution) -> int:
    computation, x, _ = execution
    if x.opcode not in ("dot", "convolution"):
        return 0
    sides = [hlo.dimensions(t) for t in operand_types(program, computation, x)]
    return hlo.multiplications(x, *sides)


def collectives(program: Program) -> dict[str, Collective]:
    """The collectives of each kind, those inside fusions included.

    The bytes of one are those of its operands or of its result, whichever are more: what a device gives to
    a reduction or gets from a gathering. How often the network carries them is the algorithm's affair.
    """
    counts: dict[str, float] = defaultdict(int)
    moved: dict[str, float] = defaultdict(int)
    for computation, x, times in within(program):
        kind = x.opcode.removesuffix("-done")
        if kind in COLLECTIVES and times:
            counts[kind] += times
            # The result of a -start holds its operands as well: its -done has the result alone.
            given = 0 if x.opcode != kind else sum(size(t) for t in operand_types(program, computation, x))
            moved[kind] += times * max(given, size(x.type))
    return {kind: Collective(counts[kind], round(moved[kind])) for kind in sorted(counts)}


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
    for execution in within(program):
        x = execution.instruction
        if x.opcode in ("dot", "convolution"):
            flops = round(2 * execution.times * _multiplications(program, execution))
            found.append(Product(flops, x.name, x.opcode, x.type, x.origin))
    return sorted(found, key=lambda product: (-product.flops, product.name))


def idle_flops(program: Program) -> float:
    """FLOPs of lazy terms' products that XLA's analysis counts at calls which they are not due at."""

    def total(whole: bool) -> float:
        return sum(2 * x.times * _multiplications(program, x) for x in within(program, whole=whole))

    return total(whole=True) - total(whole=False)


def operand_types(program: Program, computation: str, x: Instruction) -> list[str]:
    """The types of an instruction's operands."""
    return [program.computations[computation][name].type for name in x.operands]


def hbm_bytes(program: Program) -> int:
    """Bytes read from and written to HBM: operands and results that lie there, whole and unpadded."""
    total = 0.0
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
    return round(total)


def shape(text: str) -> str:
    """A type without layouts, of a tuple its largest member: enough to recognise an op by.

    >>> shape("(f32[64]{0:T(128)}, bf16[64,32,32,64]{3,0,2,1:T(8,128)})")
    'bf16[64,32,32,64]'
    """
    members = re.findall(r"[a-z]\w*\[[\d,<=]*\]", text)
    return max(members, key=size, default=text)
