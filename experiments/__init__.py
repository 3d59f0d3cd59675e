"""Commands that train, sample and evaluate GANs from config files."""

import os
from pathlib import Path

# TensorFlow is loaded to write event files and to prepare datasets; its start-up notes help nobody here.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # else told of, at any level

# libtpu, installed for dry runs, complains where no TPU is there to tell it these.
if not any(Path("/dev").glob("accel*")) and not Path("/dev/vfio").exists():
    os.environ.setdefault("TPU_ACCELERATOR_TYPE", "v5litepod-8")
    os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
