"""Many experts on one base, beside llama-cpp-python's `Llama` and `llama-server`."""
