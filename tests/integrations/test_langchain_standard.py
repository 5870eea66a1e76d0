"""LangChain's own tests of chat models, with a real expert.

What is skipped is what experts have not: pictures, sound, files, another model for one call.
"""

from __future__ import annotations

import pytest

pytest.importorskip("langchain_tests", reason="needs langchain-tests")

from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from hivellm_lite.integrations.langchain import ChatHiveLLM

pytestmark = pytest.mark.unmeasured


class Answers:
    """The expert that both suites ask."""

    @pytest.fixture(autouse=True)
    def expert(self, sql):
        self.sql = sql

    @property
    def chat_model_class(self):
        return ChatHiveLLM

    @property
    def standard_chat_model_params(self):
        return {"temperature": 0, "max_tokens": 100, "timeout": 60, "stop": []}

    @property
    def chat_model_params(self):
        return {"model": self.sql}


class TestUnits(Answers, ChatModelUnitTests):
    pass


class TestIntegration(Answers, ChatModelIntegrationTests):
    supports_json_mode = True
    supports_model_override = False

    @pytest.mark.xfail(reason="a small model for SQL does not decide to call a tool")
    def test_agent_loop(self, model):
        super().test_agent_loop(model)
