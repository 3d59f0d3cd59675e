"""Costs of a compiled program: estimated cycles, matrix products, bytes and collectives.

XLA's TPU compiler writes its cost model into the program, as ``estimated_cycles`` in the ``backend_config``
of the instructions that it schedules. These are estimates by the compiler, not measurements. Collectives
and copies between memories have no estimate.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from experiments.dry_run import hlo
from experiments.dry_run.hlo import Array, Instruction, Program, arrays, attribute, called, size, trip_count

HBM = 0  # The number of this memory space in the text of a program.
COLLECTIVES = (
    "all-gather",
    "all-reduce",
    "all-to-all",
    "collective-broadcast",
    "collective-permute",
    "ragged-all-to-all",
    "reduce-scatter",
)
# Opcodes that move no bytes, because they only name existing values or only contain other computations.
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
# The conditional of `jaxgan.regularizers.every`, or that of its derivative. The number is its interval.
_LAZY = re.compile(r"\bevery_(\d+)\)*/cond$")


class Execution(NamedTuple):
    """An instruction of a computation, with how often it runs in one call of the program.

    The number of times is a mean over calls. It is a fraction for the parts of a lazy term, which are only
    computed at some of the calls.
    """

    computation: str
    instruction: Instruction
    times: float

    @property
    def cycles(self) -> float:
        """Estimated cycles of all executions together."""
        return self.times * self.instruction.cycles


class Collective(NamedTuple):
    """All collectives of one kind.

    Attributes:
      calls: How often they run.
      bytes: Number of bytes that a device sends or receives.
    """

    calls: float
    bytes: int


class Op(NamedTuple):
    """The estimated cost of one instruction, over all its executions.

    Attributes:
      cycles: Estimated cycles.
      name: Name of the instruction.
      opcode: Its opcode.
      type: Type of its result.
      origin: Name of the operation in the traced function.
    """

    cycles: int
    name: str
    opcode: str
    type: str
    origin: str


class Product(NamedTuple):
    """A matrix product or convolution.

    Attributes:
      flops: FLOPs over all executions.
      name: Name of the instruction.
      opcode: Its opcode.
      type: Type of its result.
      origin: Name of the operation in the traced function.
    """

    flops: int
    name: str
    opcode: str
    type: str
    origin: str


def executions(program: Program, *, whole: bool = False) -> tuple[list[Execution], list[str]]:
    """Returns everything that runs when a program is called once.

    The body of a loop counts as often as it runs, and a called computation once per call. Of the branches
    of a conditional, the most expensive one counts: by the compiler's estimate, or where there is none (on
    a CPU), by multiplications. A term that is due at one call in k has a conditional with one branch that
    computes the term, which counts 1/k times, and one idle branch, which counts 1 − 1/k times. The idle
    branch is the one with fewer multiplications, because filling its results with zeros may take more
    cycles. A fusion counts as one instruction, and the instructions inside it are not listed.

    Args:
      program: Parsed program.
      whole: Whether lazy terms count as if they were due at every call, as in XLA's own analysis.

    Returns:
      The executions, and the names of the loops whose length cannot be read from the text. Such loops count
      once.
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
    """Returns the instructions that have an estimate, the most expensive ones first."""
    ops = []
    for execution in executions(program)[0]:
        x = execution.instruction
        if execution.cycles:
            ops.append(Op(round(execution.cycles), x.name, x.opcode, x.type, x.origin))
    return sorted(ops, key=lambda op: (-op.cycles, op.name))


def _parts(program: Program, execution: Execution) -> Iterator[Execution]:
    """Yields an execution and, if it is a fusion, the executions inside it."""
    yield execution
    _, x, times = execution
    for name in called(x) if x.opcode == "fusion" else ():
        for y in program.computations[name].values():
            yield from _parts(program, Execution(name, y, times))


def within(program: Program, *, whole: bool = False) -> list[Execution]:
    """Returns everything that runs when a program is called once, including the insides of fusions.

    See :func:`executions` for how executions are counted.
    """
    found = executions(program, whole=whole)[0]
    return [part for execution in found for part in _parts(program, execution)]


def _multiplications(program: Program, execution: Execution) -> int:
    computation, x, _ = execution
    if x.opcode not in ("dot", "convolution"):
        return 0
    sides = [hlo.dimensions(t) for t in operand_types(program, computation, x)]
    return hlo.multiplications(x, *sides)


def collectives(program: Program) -> dict[str, Collective]:
    """Returns the collectives of each kind, including those inside fusions.

    The bytes of a collective are those of its operands or those of its result, whichever are more: the
    bytes that a device contributes to a reduction or receives from a gather. The network may carry them
    several times, depending on the algorithm.
    """
    counts: dict[str, float] = defaultdict(int)
    moved: dict[str, float] = defaultdict(int)
    for computation, x, times in within(program):
        kind = x.opcode.removesuffix("-done")
        if kind in COLLECTIVES and times:
            counts[kind] += times
            # The result of a -start also contains its operands, whereas its -done has the result alone.
            given = 0 if x.opcode != kind else sum(size(t) for t in operand_types(program, computation, x))
            moved[kind] += times * max(given, size(x.type))
    return {kind: Collective(counts[kind], round(moved[kind])) for kind in sorted(counts)}


def products(program: Program) -> list[Product]:
    """Returns the matrix products and convolutions of a program, the most expensive ones first.

    Those inside fusions are included. A multiplication and an addition count as two FLOPs. Products with
    padding, and with the zeros between dilated elements, do not count.

    Raises:
      ValueError: The text does not tell how often a loop runs.
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
    """Returns the FLOPs that XLA's analysis counts for lazy terms at calls where they are not due.

    Only matrix products and convolutions are considered.
    """

    def total(whole: bool) -> float:
        return sum(2 * x.times * _multiplications(program, x) for x in within(program, whole=whole))

    return total(whole=True) - total(whole=False)


def operand_types(program: Program, computation: str, x: Instruction) -> list[str]:
    """Returns the types of the operands of an instruction."""
    return [program.computations[computation][name].type for name in x.operands]


def hbm_bytes(program: Program) -> int:
    """Returns the number of bytes read from and written to HBM.

    Operands and results that lie in HBM count as a whole, without padding.
    """
    total = 0.0
    for computation, x, times in executions(program)[0]:
        # A -start is counted with its -done, because the type of the -done is exactly what was moved.
        if x.opcode in FREE or x.opcode.endswith("-start") or _FREE_CALL.search(x.attributes):
            continue
        moved = arrays(x.type)
        if x.opcode.endswith("-done"):
            start = program.computations[computation][x.operands[0]]
            sources = arrays(" ".join(operand_types(program, computation, start)))
            # Of an operand that is sliced, only the part that arrives is read.
            moved += [Array(size(x.type), space) for space in {source.space for source in sources}]
        else:
            moved += arrays(" ".join(operand_types(program, computation, x)))
        total += times * sum(array.bytes for array in moved if array.space == HBM)
    return round(total)


def shape(text: str) -> str:
    """Returns a type without its layouts, or the largest member of a tuple.

    This is enough to recognise an operation by.

    >>> shape("(f32[64]{0:T(128)}, bf16[64,32,32,64]{3,0,2,1:T(8,128)})")
    'bf16[64,32,32,64]'
    """
    members = re.findall(r"[a-z]\w*\[[\d,<=]*\]", text)
    return max(members, key=size, default=text)
