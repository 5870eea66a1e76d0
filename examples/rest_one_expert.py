r"""One expert behind a REST API of your own, with FastAPI.

    pip install fastapi uvicorn
    HIVELLM_MODELS=. uvicorn examples.rest_one_expert:app
    curl http://127.0.0.1:8000/sql -H 'Content-Type: application/json' \
        -d '{"question": "How many users are there?"}'

``hivellm-lite serve`` is OpenAI's API; this is for services that have an API already.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, HTTPException, Request
from pydantic import BaseModel, Field

from hivellm_lite import Expert, ExpertError

EXPERT = Path(__file__).parent / "experts" / "sql.expert"


class Question(BaseModel):
    question: str = Field(max_length=2000)
    tables: str = Field(default="", max_length=20_000)


class Answer(BaseModel):
    query: str
    tokens: int


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """The expert is loaded before the first request, and freed after the last."""
    with Expert.load(EXPERT) as expert:
        app.state.expert = expert
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/sql")
async def sql(question: Question, request: Request) -> Answer:
    """Requests at the same time are computed together; one that is cancelled stops computing."""
    expert: Expert = request.app.state.expert
    try:
        result = await expert.agenerate(
            question.question, schema=question.tables or None, max_tokens=200
        )
    except ExpertError as error:
        raise HTTPException(400, str(error)) from None
    return Answer(query=result.text, tokens=result.completion_tokens)
