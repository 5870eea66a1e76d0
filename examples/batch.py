"""Answers the lines of a file, several at once, with two experts on one base.

    python examples/batch.py questions.txt answers.jsonl --base MODEL.gguf

``hivellm-lite batch`` does this and more: it resumes, and spreads over a cluster. This shows how
little it takes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path

from hivellm_lite import ExpertError, ExpertManager

EXPERTS = Path(__file__).parent / "experts"
TOGETHER = 8


async def answer_all(manager: ExpertManager, questions: list[str]) -> list[dict[str, str]]:
    places = asyncio.Semaphore(TOGETHER)

    async def answer(question: str) -> dict[str, str]:
        async with places:
            try:
                result = await manager.agenerate("auto", question)
            except ExpertError as error:
                return {"question": question, "error": str(error)}
            return {"question": question, "expert": result.expert, "text": result.text}

    return await asyncio.gather(*map(answer, questions))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("questions", type=Path)
    parser.add_argument("answers", type=Path)
    parser.add_argument("--base", required=True)
    given = parser.parse_args()
    questions = [line for line in given.questions.read_text("utf-8").splitlines() if line.strip()]
    with ExpertManager(base=given.base) as manager:
        for name in ("sql", "cypher"):
            manager.load_expert(name, EXPERTS / f"{name}.expert")
        answers = asyncio.run(answer_all(manager, questions))
    given.answers.write_text("".join(json.dumps(one) + "\n" for one in answers), "utf-8")


if __name__ == "__main__":
    main()
