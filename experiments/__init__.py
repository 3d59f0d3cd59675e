"""Commands that train, sample and evaluate GANs from config files."""

import os

# TensorFlow is loaded to write event files and to prepare datasets; its start-up notes help nobody here.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
