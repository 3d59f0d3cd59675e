"""Summarises the costs of a compiled step."""

import importlib.metadata
from typing import Any

from experiments.dry_run import compilation, costs, tpu
from experiments.training import workdir

NUM_DEAREST = 20
NOTE = "the compiler's estimate, not a measurement; collectives and copies between memories have none"


def _counts(compiled: tpu.Compiled, times: int) -> dict[str, Any]:
    memory = ("arguments", "outputs", "aliased", "temporaries", "code", "peak")
    return {
        "flops": times * compiled.flops,
        "bytes_accessed": times * compiled.bytes_accessed,
        "hbm_bytes": times * costs.hbm_bytes(compiled.program),
        "memory": {name: times * getattr(compiled, name) for name in memory},
        "collectives": {
            kind: {"calls": found.calls, "bytes": times * found.bytes}
            for kind, found in costs.collectives(compiled.program).items()
        },
    }


def summarise(task: compilation.Task, name: str, batch_size: int, compiled: tpu.Compiled) -> dict[str, Any]:
    """Returns everything that is reported about a compiled step, ready for JSON.

    The units are bytes, seconds, FLOPs and Hz.

    Args:
      task: Step that was compiled.
      name: Name of the config.
      batch_size: Global batch size.
      compiled: Program compiled for that batch size.
    """
    topology, devices = task.topology, task.topology.mesh.size
    chip, per_device = topology.chip, _counts(compiled, 1)
    compute = compiled.flops / chip.flops
    memory = per_device["hbm_bytes"] / chip.bandwidth
    ops = costs.dearest(compiled.program)
    cycles = sum(op.cycles for op in ops)
    estimated = cycles / chip.clock

    def rates(seconds: float) -> dict[str, float]:
        rate = batch_size / seconds if seconds else float("inf")
        return {"samples_per_second": rate, f"samples_per_second_per_{topology.unit}": rate / devices}

    return {
        "config": workdir.as_json(task.config),
        "name": name,
        "topology": topology.name,
        "unit": topology.unit,
        "samples": "images" if task.source.spec.images else "points",
        "devices": devices,
        "batch_size": batch_size,
        "batch_size_per_device": batch_size // devices,
        "versions": {package: importlib.metadata.version(package) for package in ("jax", "libtpu")},
        "compile_seconds": compiled.seconds,
        "per_device": per_device,
        "total": _counts(compiled, devices),
        "datasheet_bound": {
            "flops_per_second": chip.flops,
            "hbm_bytes": chip.hbm,
            "hbm_bytes_per_second": chip.bandwidth,
            "flops_per_hbm_byte": compiled.flops / max(1, per_device["hbm_bytes"]),
            "flops_per_hbm_byte_at_balance": chip.flops / chip.bandwidth,
            "bound_by": "compute" if compute >= memory else "memory",
            "step_seconds": max(compute, memory),
            **rates(max(compute, memory)),
        },
        "compiler_estimate": {
            "note": NOTE,
            "cycles": cycles,
            "clock": chip.clock,
            "step_seconds": estimated,
            **rates(estimated),
            "share_of_peak": compute / estimated if estimated else float("nan"),
            "loops_of_unknown_length": costs.executions(compiled.program)[1],
            "dearest": [op._asdict() for op in ops[:NUM_DEAREST]],
        },
    }
