"""The tests. How threads wait is settled here, before anything imports NumPy.

Tests run beside each other and beside other programs, and threads that spin make both crawl.
OpenMP reads its variable when llama.cpp is loaded, NumPy's OpenBLAS when NumPy is. Where two test
processes share two cores, a conversion with two threads takes twice the processor time.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
