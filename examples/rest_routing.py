r"""Several experts behind a REST API of your own; the question chooses who answers.

    pip install fastapi uvicorn
    HIVELLM_MODELS=. uvicorn examples.rest_routing:app
    curl -N http://127.0.0.1:8000/ask -H 'Content-Type: application/json' \
        -d '{"question": "Write SQL for all names"}'

The answer is streamed as plain text. Its header says who gave it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from hivellm_lite import ExpertManager

EXPERTS = Path(__file__).parent / "experts"


class Question(BaseModel):
    question: str = Field(max_length=2000)
    tables: str = Field(default="", max_length=20_000)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    with ExpertManager() as manager:
        for name in ("sql", "cypher"):
            manager.load_expert(name, EXPERTS / f"{name}.expert")
        app.state.manager = manager
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/ask")
async def ask(question: Question, request: Request) -> StreamingResponse:
    manager: ExpertManager = request.app.state.manager
    name = manager.route(question.question).expert or "base"

    async def answer() -> AsyncIterator[str]:
        async with manager.agenerate_stream(
            name, question.question, schema=question.tables or None, max_tokens=200
        ) as stream:
            async for piece in stream:
                yield piece

    return StreamingResponse(answer(), media_type="text/plain", headers={"X-Expert": name})
