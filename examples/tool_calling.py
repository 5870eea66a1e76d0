"""A model calls a function of this program: the server makes sure that the call fits.

    hivellm-lite serve sql.expert --base MODEL.gguf
    python examples/tool_calling.py http://127.0.0.1:8000 "What is the weather in Oslo?"

``tool_choice: required`` with ``strict`` is exact, however small the model is: a grammar allows
nothing but a call whose arguments follow the schema. What a model of this size writes into them is
another matter.
"""

from __future__ import annotations

import json
import sys
import urllib.request

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city now",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "maxLength": 40},
                "unit": {"enum": ["celsius", "fahrenheit"]},
            },
            "required": ["city", "unit"],
            "additionalProperties": False,
        },
    },
}


def weather(city: str, unit: str) -> str:
    return f"12 degrees {unit} in {city}"


def main() -> None:
    address, question = sys.argv[1:]
    body = {
        "model": "base",
        "messages": [{"role": "user", "content": question}],
        "tools": [WEATHER],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "temperature": 0,
        "max_tokens": 100,
    }
    request = urllib.request.Request(
        f"{address}/v1/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=120) as response:
        (call,) = json.load(response)["choices"][0]["message"]["tool_calls"]
    arguments = json.loads(call["function"]["arguments"])
    print(call["function"]["name"], arguments)
    print(weather(**arguments))


if __name__ == "__main__":
    main()
