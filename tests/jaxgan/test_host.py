import platform
import subprocess
import sys

import pytest

from jaxgan import host

PROGRAM = """
import ctypes, resource, sys, threading
from jaxgan import host
if sys.argv[1] == "keep":
    assert host.keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
malloc, free = ctypes.CDLL(None).malloc, ctypes.CDLL(None).free
malloc.restype, free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
def use():
    for _ in range(10):
        block = malloc(96 << 20)
        ctypes.memset(block, 1, 96 << 20)
        free(block)
before = faults()
if sys.argv[2] == "thread":  # as XLA allocates a large program's temporaries
    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
else:
    use()
print(faults() - before)
"""


def page_faults(how, where):
    arguments = [sys.executable, "-c", PROGRAM, how, where]
    out = subprocess.run(arguments, check=True, capture_output=True, text=True)
    return int(out.stdout)


@pytest.mark.parametrize("where", ["main", "thread"])
def test_freed_blocks_are_used_again(where):
    # Ten blocks of 96 MiB are touched in turn. If the memory is kept, only the first causes page faults.
    assert page_faults("keep", where) < page_faults("default", where) / 5


@pytest.mark.skipif(platform.machine() != "x86_64", reason="other kernels name no model")
def test_the_processor_has_a_name(monkeypatch, tmp_path):
    listed = subprocess.run(["lscpu"], capture_output=True, text=True, check=True).stdout
    assert host.processor() in listed
    monkeypatch.setattr(host, "Path", lambda _: tmp_path / "absent")
    assert host.processor()
