"""Formats the results of a dry run for people to read."""

from typing import Any

from experiments.dry_run import costs


def scaled(value: float, unit: str) -> str:
    """Returns a number with an SI prefix, or with a binary prefix for bytes.

    >>> scaled(126.74e9, "FLOP"), scaled(98 * 2**20, "B"), scaled(12.0, "B")
    ('126.7 GFLOP', '98.0 MiB', '12 B')
    """
    base, prefixes = (1024, ("", "Ki", "Mi", "Gi", "Ti", "Pi")) if unit == "B" else (1000, "·kMGTPE")
    power = 0
    while value >= base and power < len(prefixes) - 1:
        value, power = value / base, power + 1
    return f"{value:.1f} {prefixes[power]}{unit}" if power else f"{value:,.0f} {unit}"


def layer(origin: str) -> str:
    """Returns the name of an op in the traced function, without the prefix that all ops share."""
    return origin.removeprefix("jit(step)/") or "(the compiler's own)"


def table(summary: dict[str, Any]) -> str:
    """Returns a summary as text for people to read."""
    unit, devices = summary["unit"], summary["devices"]
    one, whole = summary["per_device"], summary["total"]
    bound, estimate = summary["datasheet_bound"], summary["compiler_estimate"]
    samples = summary["samples"]
    rate = f"samples_per_second_per_{unit}"

    def row(name: str, a: float, b: float, unit: str, more: str = "") -> str:
        return f"  {name:<26}{scaled(a, unit):>14}{scaled(b, unit):>16}{more}"

    used = f"   {one['memory']['peak'] / bound['hbm_bytes']:.1%} of {scaled(bound['hbm_bytes'], 'B')} HBM"
    lines = [
        f"{summary['name']} on {summary['topology']}: {devices} {unit}s, batch {summary['batch_size']:,}"
        f" ({summary['batch_size_per_device']:,} a {unit})",
        f"compiled in {summary['compile_seconds']:.0f} s, by libtpu {summary['versions']['libtpu']}",
        "",
        f"  {'one step':<26}{'a ' + unit:>14}{f'{devices} {unit}s':>16}",
        row("FLOPs", one["flops"], whole["flops"], "FLOP"),
        row("bytes accessed", one["bytes_accessed"], whole["bytes_accessed"], "B"),
        row("  to and from HBM", one["hbm_bytes"], whole["hbm_bytes"], "B"),
        *(
            row(f"memory: {kind}", one["memory"][kind], whole["memory"][kind], "B", used if last else "")
            for kind, last in (
                ("arguments", False),
                ("outputs", False),
                ("aliased", False),
                ("temporaries", False),
                ("code", False),
                ("peak", True),
            )
        ),
        *(
            row(f"{kind} × {found['calls']:g}", found["bytes"], whole["collectives"][kind]["bytes"], "B")
            for kind, found in one["collectives"].items()
        ),
        "" if one["collectives"] else "  no collectives",
        f"bound by the datasheet: at most {bound[rate]:,.0f} {samples}/s a {unit},"
        f" {bound['samples_per_second']:,.0f} in all",
        f"  {bound['flops_per_hbm_byte']:,.0f} FLOPs a byte of HBM, {bound['bound_by']}-bound:"
        f" {scaled(bound['flops_per_second'], 'FLOP/s')} bfloat16 and"
        f" {bound['hbm_bytes_per_second'] / 1e9:,.0f} GB/s balance at"
        f" {bound['flops_per_hbm_byte_at_balance']:,.0f}",
        "",
        f"the compiler's estimate: {estimate['cycles'] / 1e6:.3g} Mcycles a step,"
        f" {1e3 * estimate['step_seconds']:.3g} ms at {estimate['clock'] / 1e9:g} GHz",
        f"  {estimate[rate]:,.0f} {samples}/s a {unit}, {estimate['samples_per_second']:,.0f} in all,"
        f" {estimate['share_of_peak']:.0%} of peak",
        f"  {estimate['note']}",
    ]
    for name in estimate["loops_of_unknown_length"]:
        lines.append(f"  the loop {name} counts as one round: the program does not tell how many")
    lines += ["", f"the {len(estimate['dearest'])} dearest ops, by the compiler's estimate"]
    for op in estimate["dearest"]:
        share = op["cycles"] / estimate["cycles"]
        lines.append(
            f"  {op['cycles']:>11,} {share:>6.1%}  {costs.shape(op['type']):<24} {layer(op['origin'])}"
        )
    return "\n".join(lines)
