"""Tools that a model may call: read from a request, told to the model, enforced and read back.

The form is that of Hermes and Qwen, which most open models have seen in their training: the tools
stand in the system message, and a call is one line of JSON between two tags::

    <tool_call>
    {"name": "get_weather", "arguments": {"city": "Rome"}}
    </tool_call>

Private: may change in any release.
"""
