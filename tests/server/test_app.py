"""Paths, keys and the list of models."""

from __future__ import annotations

import contextlib
import json

import pytest

from hivellm_lite.server.admission import Admission
from hivellm_lite.server.app import create_app
from hivellm_lite.server.errors import APIError
from hivellm_lite.server.options import APIKey, ServerOptions

KEYED = ServerOptions(keys=(APIKey("ann", "secret-ä"), APIKey("bob", "other")))


def error_of(response):
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


class TestModels:
    def test_every_expert_is_listed_with_its_base_and_the_choice_by_the_prompt(self, call):
        listed = call("GET", "/v1/models").json()
        assert listed["object"] == "list"
        models = {model["id"]: model for model in listed["data"]}
        assert set(models) == {"sql", "style", "base", "auto"}
        assert models["sql"]["root"] == "sql@0.3.0"
        assert models["sql"]["parent"] == "base"
        assert models["sql"]["capabilities"] == ["database:sql", "language:en"]
        assert models["base"]["parent"] is None
        assert models["base"]["root"] == models["sql"]["base"]
        assert all(isinstance(model["created"], int) for model in models.values())
        assert all(model["object"] == "model" for model in models.values())

    def test_one_model_is_told_by_its_name(self, call):
        assert call("GET", "/v1/models/sql").json()["id"] == "sql"
        missing = call("GET", "/v1/models/a/b")
        assert missing.status_code == 404
        assert error_of(missing)["code"] == "model_not_found"


class TestErrors:
    def test_an_unknown_path_and_a_wrong_method_have_the_form_of_errors(self, call):
        response = call("GET", "/v1/nothing")
        assert response.status_code == 404
        assert error_of(response)["code"] == "unknown_url"
        response = call("DELETE", "/v1/models")
        assert response.status_code == 405
        assert "DELETE" in error_of(response)["message"]


class TestKeys:
    @pytest.mark.parametrize("key", ["secret-ä", "other"])
    def test_a_known_key_passes(self, call, key):
        headers = {"Authorization": f"Bearer {key}".encode()}
        assert call("GET", "/v1/models", options=KEYED, headers=headers).status_code == 200

    @pytest.mark.parametrize(
        "header", [None, "", "Bearer", "Bearer wrong", "Basic other", "other", "Bearer other2"]
    )
    def test_everything_else_is_refused_as_openai_refuses(self, call, header):
        headers = {} if header is None else {"Authorization": header}
        response = call("GET", "/v1/models", options=KEYED, headers=headers)
        assert response.status_code == 401
        assert error_of(response)["code"] == "invalid_api_key"
        assert response.headers["www-authenticate"] == "Bearer"

    def test_an_unknown_path_tells_nothing_without_a_key(self, call):
        assert call("GET", "/v1/nothing", options=KEYED).status_code == 401

    def test_without_keys_everybody_passes(self, call):
        assert call("GET", "/v1/models").status_code == 200


class TestAdmission:
    def test_places_are_given_back_however_a_request_ends(self):
        admission = Admission(2)
        with contextlib.suppress(KeyError), admission.place(2):
            assert admission.n_busy == 2
            raise KeyError
        assert admission.n_busy == 0

    def test_what_finds_no_place_is_refused_at_once(self):
        admission = Admission(2)
        with admission.place(), pytest.raises(APIError) as caught, admission.place(2):
            pass
        assert (caught.value.status, caught.value.code) == (429, "queue_full")
        assert caught.value.headers["Retry-After"]

    def test_more_answers_than_there_are_places_can_never_be_admitted(self):
        with pytest.raises(APIError) as caught, Admission(2).place(3):
            pass
        assert caught.value.status == 400

    def test_nothing_is_admitted_while_the_server_drains(self):
        admission = Admission(2)
        admission.drain()
        with pytest.raises(APIError) as caught, admission.place():
            pass
        assert caught.value.status == 503


class TestWatching:
    def test_an_observer_is_told_of_every_step_and_of_the_end(self, manager, call_app):
        told = []

        class Observer:
            def request_began(self, kind, model):
                told.append((kind, model))
                return self

            def queued(self):
                told.append("queued")

            def first_token(self, so_far, ago=0.0):
                assert 0 <= so_far.cached_prompt_tokens <= so_far.prompt_tokens
                assert 0 <= so_far.time_in_queue <= so_far.time_to_first_token
                told.append("first")

            def token(self, n):
                pass

            def ended(self, results, status):
                told.append((len(results), status))

        app = create_app(manager, ServerOptions(), Observer())
        ask = {"model": "sql", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}
        call_app(app, json.dumps({**ask, "n": 2}).encode())
        assert told == [("chat", "sql"), "queued", "first", (2, 200)]
        told.clear()
        long = [{"role": "user", "content": "word " * 2000}]
        call_app(app, json.dumps({**ask, "messages": long}).encode())
        assert told == [("chat", "sql"), "queued", (0, 400)]
