"""Topologies, datasheets and compiler of TPUs that need not be present."""

import importlib.util
import math
import os
import re
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from experiments.dry_run import costs, hlo
from jaxgan import parallel
from jaxgan.errors import SetupError, unknown

PyTree = Any
GIB = 2**30
# These variables answer what libtpu would ask the machine that it runs on. They also keep libtpu from
# writing logs and from refusing to be loaded by two processes at once.
ENVIRONMENT = {
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-8",
    "TPU_LOG_DIR": "disabled",
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
}
SLICES = ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")


class Chip(NamedTuple):
    """One generation of TPU chips, by its datasheet.

    Attributes:
      flops: Peak bfloat16 FLOP/s of a chip.
      hbm: Memory of a chip in bytes.
      bandwidth: Bandwidth of that memory in bytes/s.
      clock: Clock rate in Hz.
      devices: JAX devices per chip; each of the two cores is a device in v2 and v3.
      largest: Number of chips in the largest slice.
      example: Name of a topology of this chip.
      slices: Available shapes; empty if any shape that fills whole hosts will do.
      options: Options that libtpu needs for this chip.
    """

    flops: float
    hbm: int
    bandwidth: float
    clock: float
    devices: int
    largest: int
    example: str
    slices: tuple[str, ...] = ()
    options: Mapping[str, str] = {}

    def device(self) -> "Chip":
        """Returns the share of a chip that one JAX device has."""
        n = self.devices
        return self._replace(flops=self.flops / n, hbm=self.hbm // n, bandwidth=self.bandwidth / n)


# Peak, memory and bandwidth are taken from https://cloud.google.com/tpu/docs. The clock rate is the one at
# which the matrix units (128×128, and 256×256 in v6e) reach the peak.
CHIPS = {
    "v2": Chip(45e12, 16 * GIB, 700e9, 0.70e9, 2, 256, "v2:2x2"),
    "v3": Chip(123e12, 32 * GIB, 900e9, 0.94e9, 2, 1024, "v3:2x2"),
    "v4": Chip(275e12, 32 * GIB, 1200e9, 1.05e9, 1, 4096, "v4:2x2x2", (), {"chip_config_name": "megacore"}),
    "v5e": Chip(197e12, 16 * GIB, 819e9, 1.5e9, 1, 256, "v5e:2x4", SLICES),
    "v5p": Chip(459e12, 95 * GIB, 2765e9, 1.75e9, 1, 8960, "v5p:2x2x2"),
    "v6e": Chip(918e12, 32 * GIB, 1640e9, 1.75e9, 1, 256, "v6e:2x4", SLICES),
}


class Topology(NamedTuple):
    """A slice of TPUs.

    Attributes:
      name: Name, such as ``v5e:2x4``.
      chip: Properties of one JAX device of the slice.
      unit: What a device is, either ``chip`` or ``core``.
      mesh: Mesh over all devices of the slice.
    """

    name: str
    chip: Chip
    unit: str
    mesh: Mesh


class TooLargeError(Exception):
    """Raised for a program that does not fit into the memory of a chip, with the compiler's message."""


class Compiled(NamedTuple):
    """A compiled program with its costs, all of them for one device.

    Attributes:
      program: Parsed text of the program.
      flops: Floating-point operations; products of a lazy term count as often as the term is due.
      bytes_accessed: Bytes accessed by all operations, including on-chip memory; a lazy term counts as if
        it were always due.
      arguments: Bytes of the arguments.
      outputs: Bytes of the outputs, including those that replace donated arguments.
      aliased: Bytes of the donated arguments that outputs replace.
      temporaries: Bytes of the temporaries.
      code: Bytes of the program itself.
      peak: Largest number of bytes in use at once.
      seconds: Compilation time in seconds.
    """

    program: hlo.Program
    flops: float
    bytes_accessed: float
    arguments: int
    outputs: int
    aliased: int
    temporaries: int
    code: int
    peak: int
    seconds: float


def _refuse(name: str, why: str) -> SetupError:
    examples = ", ".join(chip.example for chip in CHIPS.values())
    return SetupError(f"--topology {name!r}: {why}; give CHIP:SHAPE, such as {examples}")


def open_topology(name: str) -> Topology:
    """Opens a topology by its name, without its TPUs.

    It must be called before JAX has looked for devices. From then on, this process computes on the CPU even
    on a machine that has TPUs, which stay free.

    Args:
      name: Chip and shape, such as ``v5e:16x16``.

    Returns:
      The topology.

    Raises:
      SetupError: There is no topology of that name, or libtpu is not installed.
    """
    match = re.fullmatch(r"(v\d+[a-z]?):(\d+(?:x\d+)*)", name)
    if not match:
        raise _refuse(name, "that is no topology")
    if match[1] not in CHIPS:
        raise unknown("chip in --topology", match[1], CHIPS)
    chip, shape = CHIPS[match[1]], match[2]
    chips = math.prod(int(side) for side in shape.split("x"))
    if chip.slices and shape not in chip.slices:
        raise SetupError(f"--topology {name!r}: {match[1]} has no such slice: {', '.join(chip.slices)}")
    if chips > chip.largest:
        raise _refuse(name, f"{chips} chips are more than the {chip.largest} of a {match[1]} pod")
    if importlib.util.find_spec("libtpu") is None:
        raise SetupError(
            'a dry run needs libtpu, the TPU compiler, which is not installed: pip install "jaxgan[tpu]"'
            " (Linux on x86-64 only)"
        )
    os.environ.update(ENVIRONMENT)
    jax.config.update("jax_platforms", "cpu")
    options: dict[str, Any] = dict(chip.options)
    if shape == "1x1":
        options["chips_per_host_bounds"] = (1, 1, 1)  # The default host of four chips would not fit.
    try:
        devices = topologies.get_topology_desc(name, platform="tpu", **options).devices
    except jax.errors.JaxRuntimeError as error:
        raise _refuse(name, str(error).partition("\n")[0]) from error
    unit = "chip" if chip.devices == 1 else "core"
    return Topology(name, chip.device(), unit, parallel.device_mesh(devices))


def placed(tree: PyTree, topology: Topology, *axes: str | None) -> PyTree:
    """Returns shapes and types as arguments of a program, replicated or split over the devices.

    Args:
      tree: PyTree whose leaves have shapes and dtypes.
      topology: Topology with the devices.
      *axes: For each axis, the name of a mesh axis to split it along, or None.

    Returns:
      A ``ShapeDtypeStruct`` for each leaf.
    """
    sharding = NamedSharding(topology.mesh, PartitionSpec(*axes))
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree)


def compile_ahead(step: Any, *arguments: PyTree) -> Compiled:
    """Compiles a jitted function for the devices that its arguments are placed on.

    Args:
      step: Function from ``jax.jit``.
      *arguments: Arguments from :func:`placed`.

    Returns:
      The compiled program with its costs.

    Raises:
      TooLargeError: The program does not fit into the memory of a chip.
    """
    lowered = step.lower(*arguments)
    began = time.monotonic()
    try:
        compiled = _uncached(lowered)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise TooLargeError(str(error).partition("\n")[0].removeprefix("RESOURCE_EXHAUSTED: ")) from error
    seconds = time.monotonic() - began
    cost, memory = compiled.cost_analysis(), compiled.memory_analysis()
    program = hlo.parse(compiled.as_text())
    return Compiled(
        program=program,
        flops=cost.get("flops", 0.0) - costs.idle_flops(program),
        bytes_accessed=cost.get("bytes accessed", 0.0),
        arguments=memory.argument_size_in_bytes,
        outputs=memory.output_size_in_bytes,
        aliased=memory.alias_size_in_bytes,
        temporaries=memory.temp_size_in_bytes,
        code=memory.generated_code_size_in_bytes,
        peak=memory.peak_memory_in_bytes,
        seconds=seconds,
    )


def _uncached(lowered: Any) -> Any:
    # JAX can write such programs into its compilation cache but cannot read them back, and warns each time.
    name = "jax_persistent_cache_min_compile_time_secs"
    before = getattr(jax.config, name)
    jax.config.update(name, math.inf)
    try:
        return lowered.compile()
    finally:
        jax.config.update(name, before)


def estimated_cycles(compiled: Compiled) -> int:
    """Returns the estimated cycles of one call, over all instructions that have an estimate."""
    return sum(op.cycles for op in costs.dearest(compiled.program))
