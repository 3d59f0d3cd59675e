"""Commands that train, sample and evaluate GANs from config files."""

import os
from pathlib import Path

# TensorFlow only writes event files and prepares datasets here, and its start-up messages help no user.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # TensorFlow announces oneDNN at any log level

# libtpu is installed for dry runs. On a machine without a TPU it complains if these variables are missing.
if not any(Path("/dev").glob("accel*")) and not Path("/dev/vfio").exists():
    os.environ.setdefault("TPU_ACCELERATOR_TYPE", "v5litepod-8")
    os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
