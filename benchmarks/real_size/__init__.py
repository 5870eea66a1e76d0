"""Many experts on a base of Qwen3-0.6B's size, on a CPU, by quantisation."""
