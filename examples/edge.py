"""What an expert takes on a small machine: memory and time at every step.

    python examples/edge.py sql.expert "How many users are there?" --base MODEL.gguf

A short context and one thread keep memory and power low. ``hivellm-lite estimate`` says beforehand
what will be needed.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("package")
    parser.add_argument("prompt")
    parser.add_argument("--base", required=True)
    parser.add_argument("--n-ctx", type=int, default=512)
    given = parser.parse_args()
    began = time.perf_counter()

    def note(step: str) -> None:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        megabytes = most / (1 << 20 if sys.platform == "darwin" else 1 << 10)
        print(
            f"{time.perf_counter() - began:7.2f} s  {megabytes:7.1f} MB at most  {step}",
            file=sys.stderr,
        )

    from hivellm_lite import Expert

    note("imported")
    with Expert.load(
        given.package, base=given.base, n_ctx=given.n_ctx, n_threads=1, max_streams=1
    ) as expert:
        note("loaded")
        result = expert.generate(given.prompt)
        note(
            f"answered: {result.completion_tokens} tokens, {result.tokens_per_second:.1f} a second"
        )
        print(result.text)


if __name__ == "__main__":
    main()
