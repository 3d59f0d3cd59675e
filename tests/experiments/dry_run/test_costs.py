"""Tests of the costs read from the text of compiled programs, on programs with known sums."""

import pytest

from experiments.dry_run import costs, hlo

# The program has a loop of 7 rounds (whose condition is evaluated 8 times), two calls, a conditional with a
# cheap and an expensive branch, an asynchronous copy out of HBM, and collectives of four kinds.
TEXT = """\
HloModule hand, is_scheduled=true, entry_computation_layout={(f32[256]{0})->f32[256]{0}}

%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %sum = f32[] add(%a, %b)
}

%fused (p.0: f32[256]) -> f32[256] {
  %p.0 = f32[256]{0:T(256)} parameter(0)
  %inside = f32[256]{0:T(256)} all-reduce(%p.0), to_apply=%add
  ROOT %double = f32[256]{0:T(256)} add(%inside, %inside), backend_config={"estimated_cycles":"99999"}
}

%body (carried: (s32[], f32[256], s32[])) -> (s32[], f32[256], s32[]) {
  %carried = (s32[], f32[256]{0:T(256)S(1)}, s32[]) parameter(0)
  %i = s32[] get-tuple-element(%carried), index=0
  %x.1 = f32[256]{0:T(256)S(1)} get-tuple-element(%carried), index=1
  %one = s32[] get-tuple-element(%carried), index=2
  %next = s32[] add(%i, %one)
  %work = f32[256]{0:T(256)S(1)} fusion(%x.1), kind=kLoop, calls=%fused2, metadata={op_name="jit(step)/loop/mul"}, backend_config={"flag_configs":[],"window_config":{"estimated_cycles":"100","x":"a)\\"("}}
  %mean = f32[256]{0:T(256)S(1)} all-reduce(%work), replica_groups={}, to_apply=%add
  ROOT %out = (s32[], f32[256]{0:T(256)S(1)}, s32[]) tuple(%next, %mean, %one)
}

%condition (carried.1: (s32[], f32[256], s32[])) -> pred[] {
  %carried.1 = (s32[], f32[256]{0:T(256)S(1)}, s32[]) parameter(0)
  %i.1 = s32[] get-tuple-element(%carried.1), index=0
  %n = s32[] constant(BOUND)
  ROOT %less = pred[] compare(%i.1, %n), direction=LT, backend_config={"estimated_cycles":"3"}
}

%fused2 (p.1: f32[256]) -> f32[256] {
  ROOT %p.1 = f32[256]{0} parameter(0)
}

%called (p.2: f32[256]) -> f32[256] {
  %p.2 = f32[256]{0:T(256)} parameter(0)
  ROOT %copy = f32[256]{0:T(256)} copy(%p.2), backend_config={"estimated_cycles":"50"}
}

%cheap (p.3: f32[256]) -> f32[256] {
  %p.3 = f32[256]{0:T(256)} parameter(0)
  ROOT %negate = f32[256]{0:T(256)} negate(%p.3), backend_config={"estimated_cycles":"10"}
}

%dear (p.4: f32[256]) -> f32[256] {
  %p.4 = f32[256]{0:T(256)} parameter(0)
  ROOT %sine = f32[256]{0:T(256)} sine(%p.4), metadata={op_name="jit(step)/sin"}, backend_config={"estimated_cycles":"2000"}
}

ENTRY %main (x: f32[256]) -> f32[1024] {
  %x = f32[256]{0:T(256)} parameter(0)
  %start = s32[] constant(START)
  %step = s32[] constant(1)
  %moving = (f32[256]{0:T(256)S(1)}, f32[256]{0:T(256)}, u32[]{:S(2)}) copy-start(%x)
  %moved = f32[256]{0:T(256)S(1)} copy-done(%moving)
  %first = s32[] copy(%start)
  %initial = (s32[], f32[256]{0:T(256)S(1)}, /*index=2*/s32[]) tuple(%first, %moved, %step)
  %loop = (s32[], f32[256]{0:T(256)S(1)}, s32[]) while(%initial), condition=%condition, body=%body
  %y = f32[256]{0:T(256)S(1)} get-tuple-element(%loop), index=1
  %big = f32[256]{0:T(256)} fusion(%y), kind=kCustom, calls=%fused, metadata={op_name="jit(step)/big"}, backend_config={"estimated_cycles":"1000"}
  %once = f32[256]{0:T(256)} call(%big), to_apply=%called
  %twice = f32[256]{0:T(256)} call(%once), to_apply=%called
  %which = s32[] constant(0)
  %either = f32[256]{0:T(256)} conditional(%which, %twice, %twice), branch_computations={%cheap, %dear}
  %gathering = (f32[256]{0:T(256)}, f32[1024]{0:T(1024)}) all-gather-start(%either), dimensions={0}
  %gathered = f32[1024]{0:T(1024)} all-gather-done(%gathering)
  %scattered = bf16[128]{0:T(256)} reduce-scatter(%half), dimensions={0}, to_apply=%add
  %half = bf16[512]{0:T(256)} convert(%gathered)
  ROOT %swapped = f32[1024]{0:T(1024)} collective-permute(%gathered), source_target_pairs={{0,1},{1,0}}
}
"""  # noqa: E501  (The line breaks are XLA's.)


def program(start=0, bound=7):
    return hlo.parse(TEXT.replace("START", str(start)).replace("BOUND", str(bound)))


def test_cycles_are_summed_as_the_program_runs():
    ops = costs.dearest(program())
    assert sum(op.cycles for op in ops) == 7 * 100 + 8 * 3 + 1000 + 2 * 50 + 2000
    assert [(op.cycles, op.name) for op in ops[:3]] == [(2000, "sine"), (1000, "big"), (700, "work")]
    assert [op.origin for op in ops[:3]] == ["jit(step)/sin", "jit(step)/big", "jit(step)/loop/mul"]
    assert ops[2].opcode == "fusion"


def test_collectives_are_counted_with_their_bytes():
    assert costs.collectives(program()) == {
        "all-gather": (1, 4 * 1024),
        "all-reduce": (8, 8 * 4 * 256),  # Seven run in the loop, one inside a fusion.
        "collective-permute": (1, 4 * 1024),
        "reduce-scatter": (1, 2 * 512),
    }


@pytest.mark.parametrize(
    ("origin", "cycles"),
    [
        ("jit(step)/every_4/cond", 2000 / 4 + 10 * 3 / 4),
        ("jit(step)/while/body/transpose(jvp(every_16))/cond", 2000 / 16 + 10 * 15 / 16),
        # This conditional lies within the branch that is due.
        ("jit(step)/every_4/cond/branch_1_fun/cond", 2000),
        ("jit(step)/cond", 2000),
    ],
)
def test_a_lazy_branch_counts_as_often_as_it_is_due(origin, cycles):
    branches = "branch_computations={%cheap, %dear}"
    text = TEXT.replace("START", "0").replace("BOUND", "7")
    assert branches in text
    for order in (branches, "branch_computations={%dear, %cheap}"):
        parsed = hlo.parse(text.replace(branches, f'{order}, metadata={{op_name="{origin}"}}'))
        found = sum(x.cycles for x in costs.executions(parsed)[0] if x.computation in ("cheap", "dear"))
        assert found == cycles
        whole = costs.executions(parsed, whole=True)[0]
        assert sum(x.cycles for x in whole if x.computation in ("cheap", "dear")) == 2000
    # The bytes of a collective in the lazy branch count as often as the branch is due.
    reduced = text.replace(
        "ROOT %sine = f32[256]{0:T(256)} sine(%p.4)", "ROOT %sine = f32[256]{0:T(256)} all-reduce(%p.4)"
    )
    parsed = hlo.parse(reduced.replace(branches, f'{branches}, metadata={{op_name="{origin}"}}'))
    share = 1 if cycles == 2000 else (cycles - 10) / 1990
    assert costs.collectives(parsed)["all-reduce"] == (8 + share, 4 * 256 * (8 + share))


def test_bytes_of_hbm_leave_out_what_lies_on_the_chip():
    # x is copied into on-chip memory, where the loop and the operand of %big lie.
    moved, big, calls, branch = 1024, 1024, 2 * (1024 + 1024), 1024 + 1024
    gathered = 4096 + 4096  # The bytes read count as much as those written.
    scattered, half, swapped = 1024 + 256, 4096 + 1024, 4096 + 4096
    # The scalars are %first, the counter and the comparison.
    scalars = (4 + 4) + 7 * (4 + 4 + 4) + 8 * (4 + 4 + 1)
    expected = moved + big + calls + branch + gathered + scattered + half + swapped + scalars
    assert costs.hbm_bytes(program()) == expected


@pytest.mark.parametrize(
    ("start", "bound", "rounds"), [(0, 7, 7), (3, 7, 4), (-2, 1, 3), (7, 7, 0), (9, 7, 0)]
)
def test_trip_counts(start, bound, rounds):
    parsed = program(start, bound)
    loop = parsed.computations["main"]["loop"]
    assert hlo.trip_count(parsed, "main", loop) == rounds
    assert costs.executions(parsed)[1] == []


@pytest.mark.parametrize(
    ("old", "new", "rounds"),
    [
        ("direction=LT", "direction=GT", None),
        ("tuple(%next, %mean, %one)", "tuple(%one, %mean, %one)", None),
        ("%step = s32[] constant(1)", "%step = s32[] constant(2)", 4),
        ("%step = s32[] constant(1)", "%step = s32[] constant(-1)", None),
        ("%start = s32[] constant(0)", "%start = s32[] iota(), iota_dimension=0", None),
        ("body=%body", 'body=%body, backend_config={"known_trip_count":{"n":"30"}}', 30),
    ],
)
def test_loops_of_other_forms(old, new, rounds):
    text = TEXT.replace("START", "0").replace("BOUND", "7")
    assert old in text
    parsed = hlo.parse(text.replace(old, new))
    assert hlo.trip_count(parsed, "main", parsed.computations["main"]["loop"]) == rounds
    names = costs.executions(parsed)[1]
    assert names == ([] if rounds else ["loop"])
    work = next(op for op in costs.dearest(parsed) if op.name == "work")
    assert work.cycles == 100 * (rounds or 1)


def test_types():
    assert hlo.size("(f32[8,4]{1,0:T(8,128)}, /*index=1*/bf16[3]{0:T(128)(2,1)S(1)}, pred[], u8[5])") == 140
    assert hlo.size("s4[3]{0}") == 2
    assert hlo.size("token[]") == 0
    assert hlo.size("f8e4m3fn[10]") == 10
    assert hlo.size("f32[<=8,2]") == 64
    assert [array.space for array in hlo.arrays("(f32[1]{0:T(128)S(1)}, f32[1]{0}, u32[]{:S(2)})")] == [
        1,
        0,
        2,
    ]


def test_a_text_that_is_no_program_is_refused():
    with pytest.raises(ValueError, match="no ENTRY"):
        hlo.parse("HloModule nothing\n")
