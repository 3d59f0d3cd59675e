import subprocess
import sys

PROGRAM = """
import ctypes, resource, sys
from jaxgan import memory
if sys.argv[1] == "keep":
    assert memory.keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
malloc, free = ctypes.CDLL(None).malloc, ctypes.CDLL(None).free
malloc.restype, free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
before = faults()
for _ in range(10):
    block = malloc(64 << 20)
    ctypes.memset(block, 1, 64 << 20)
    free(block)
print(faults() - before)
"""


def page_faults(how):
    out = subprocess.run([sys.executable, "-c", PROGRAM, how], check=True, capture_output=True, text=True)
    return int(out.stdout)


def test_freed_blocks_are_used_again():
    # Ten blocks of 64 MiB, each touched: one block's worth of page faults, not ten.
    assert page_faults("keep") < page_faults("default") / 5
