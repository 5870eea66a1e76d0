from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from hivellm_lite.converters.peft.config import (
    MAX_CONFIG_BYTES,
    REFUSED_OPTIONS,
    AdapterConfig,
    read_adapter_config,
)

from hivellm_lite.errors import ConversionError

Q0 = "model.layers.0.self_attn.q_proj"


def config(folder: Path, **options: Any) -> AdapterConfig:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({"peft_type": "LORA", "r": 4, "lora_alpha": 8, **options}))
    return read_adapter_config(path)


def test_the_scale_is_alpha_over_r(tmp_path: Path) -> None:
    assert config(tmp_path).scale_of(Q0) == 2


def test_rslora_divides_by_the_root_of_r(tmp_path: Path) -> None:
    assert config(tmp_path, use_rslora=True).scale_of(Q0) == 4


def test_rslora_uses_the_module_s_own_rank(tmp_path: Path) -> None:
    options = config(tmp_path, use_rslora=True, rank_pattern={"q_proj": 3})
    assert options.scale_of(Q0) == 8 / math.sqrt(3)


def test_null_stands_for_absent(tmp_path: Path) -> None:
    options = config(tmp_path, rank_pattern=None, alpha_pattern=None, use_rslora=None)
    assert (options.rank_of(Q0), options.scale_of(Q0)) == (4, 2)


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("q_proj", True),
        ("self_attn.q_proj", True),
        (Q0, True),
        (f"^{Q0}", True),
        ("proj", False),  # only whole parts of the name
        ("layers.0", False),  # only its tail
        (r"layers\.[0-3]\..*", True),
        (r"layers\.(1|2)\..*", False),
        (r".*\.layers\.\d+\.self_attn\.(q|v)_proj", True),
        ("^self_attn.q_proj", False),
        (r"[*+]_proj", False),  # repeats inside a class or escaped are characters
        (r"q_pro\w", True),
    ],
)
def test_patterns_match_as_in_peft(pattern: str, matches: bool, tmp_path: Path) -> None:
    options = config(tmp_path, rank_pattern={pattern: 7}, alpha_pattern={pattern: 70})
    assert options.rank_of(Q0) == (7 if matches else 4)
    assert options.scale_of(Q0) == (10 if matches else 2)


def test_the_first_matching_pattern_wins(tmp_path: Path) -> None:
    options = config(tmp_path, rank_pattern={"self_attn.q_proj": 1, "q_proj": 2})
    assert options.rank_of(Q0) == 1


@pytest.mark.parametrize(
    "pattern",
    [
        *(r"(\w+)+!", r"(.|.)*!", r".*.*.*.*.*.*!", r"(.{9}){9}", r"(.|[\w.]){25}!"),
        *(
            ".?" * 40 + "!",
            "(..?)?" * 36 + "!",
            r"(?x:([\w.]+) +!)",
            "(?=(.*)*!).*",
            "(?<!(.|..)*!)!",
        ),
    ],
)
def test_a_pattern_that_backtracks_for_ever_is_matched_at_once(
    pattern: str, tmp_path: Path
) -> None:
    """An engine that tries one way after another would take hours for any of these."""
    options = config(tmp_path, rank_pattern={pattern: 3, "q_proj": 7})
    assert options.rank_of(Q0) == 7


@pytest.mark.parametrize(
    ("pattern", "rule"),
    [
        (r"(.)\3", "has a back-reference"),
        (r"(?(1)a|b)", "has a condition on a group"),
        ("x" * 1001, "has 1001 characters; 1000 are allowed"),
        ("((.{250}){250}){250}", "has too many repetitions"),
        ("(" * 499 + "a" + ")" * 499, "is nested too deeply"),
        ("a{99999999999}", "is malformed"),
        ("[" + "\\" * 60, "is malformed"),
    ],
)
def test_a_pattern_that_no_automaton_can_match_is_refused(
    pattern: str, rule: str, tmp_path: Path
) -> None:
    with pytest.raises(ConversionError, match=rule):
        config(tmp_path, alpha_pattern={pattern: 1})


def test_many_hard_patterns_are_refused_when_they_take_too_long(tmp_path: Path) -> None:
    options = config(tmp_path, rank_pattern={f".*.*.*.*!{i}": 3 for i in range(5_000)})
    names = [f"model.layers.{layer}.self_attn.q_proj" for layer in range(500)]
    with pytest.raises(ConversionError, match="rank_pattern takes too long to match"):
        list(map(options.rank_of, names))


def test_a_rank_for_each_module_is_no_trouble(tmp_path: Path) -> None:
    names = [f"model.layers.{i}.{m}_proj" for i in range(100) for m in ("q", "k", "v", "o")]
    options = config(tmp_path, rank_pattern={name: i + 1 for i, name in enumerate(names)})
    assert [options.rank_of(name) for name in names] == list(range(1, 401))


@pytest.mark.parametrize(
    "key", ["q.proj", r"self_attn\.q_proj", "attn.q_proj", "..self_attn.q_proj"]
)
def test_a_plain_name_means_what_it_means_as_an_expression(key: str, tmp_path: Path) -> None:
    options = config(tmp_path, rank_pattern={key: 7})
    for name in (Q0, "q_proj", "qXproj", "x.qXproj", "xq_proj", "self_attn.q_proj", "attn.q_proj"):
        expected = re.match(rf"(.*\.)?({key})$", name) is not None
        assert (options.rank_of(name) == 7) == expected, name


def test_too_many_patterns_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="20001 keys; 20000 are allowed"):
        config(tmp_path, rank_pattern={str(i): 1 for i in range(20_001)})


def test_a_malformed_pattern_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"pattern '\(' is malformed"):
        config(tmp_path, rank_pattern={"(": 1})


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"r": 0}, "r is 0, expected a positive integer"),
        ({"r": None}, "r is None"),
        ({"r": True}, "r is True"),
        ({"r": 4.0}, "r is 4.0"),
        ({"r": 10**9}, "r is 1000000000"),
        ({"lora_alpha": "8"}, "lora_alpha is '8', expected a number"),
        ({"lora_alpha": math.inf}, "lora_alpha is inf"),
        ({"rank_pattern": []}, None),
        ({"rank_pattern": [1]}, "rank_pattern is not an object"),
        ({"rank_pattern": {"q_proj": -1}}, r"rank_pattern\['q_proj'\] is -1"),
        ({"alpha_pattern": {"q_proj": None}}, r"alpha_pattern\['q_proj'\] is None"),
    ],
)
def test_values_that_make_no_sense_are_refused(
    options: dict[str, Any], rule: str | None, tmp_path: Path
) -> None:
    if rule is None:
        config(tmp_path, **options)
        return
    with pytest.raises(ConversionError, match=rule):
        config(tmp_path, **options)


@pytest.mark.parametrize("option", REFUSED_OPTIONS)
def test_options_beyond_plain_lora_are_refused_by_name(option: str, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=f"(?s){option}: .*not supported\n."):
        config(tmp_path, **{option: ["x"]})
    config(tmp_path, **{option: None})


@pytest.mark.parametrize(
    ("method", "name"), [("WAVEFT", "WaveFT"), ("LILY", "Lily"), ("BRANDNEW", "BRANDNEW")]
)
def test_other_methods_are_refused_by_name(method: str, name: str, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=f"{name} is not supported\n.*[Mm]erge"):
        config(tmp_path, peft_type=method)


@pytest.mark.parametrize("init", ["pissa_niter_16", "corda", "loftq", "lora_ga"])
def test_an_adapter_of_a_modified_base_is_refused(init: str, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=f"init_lora_weights is '{init}'.*\n.*use the result"):
        config(tmp_path, init_lora_weights=init)


@pytest.mark.parametrize(
    "init", [True, False, None, "gaussian", "eva", "orthogonal", "pissa", "olora"]
)
def test_an_initialisation_that_can_be_undone_or_changes_nothing_is_accepted(
    init: object, tmp_path: Path
) -> None:
    assert config(tmp_path, init_lora_weights=init).r == 4


@pytest.mark.parametrize("method", ["LOHA", "LOKR"])
def test_other_methods_call_their_alpha_alpha(method: str, tmp_path: Path) -> None:
    options = config(tmp_path, peft_type=method, alpha=12, lora_alpha=None)
    assert options.scale_of(Q0) == 3
    with pytest.raises(ConversionError, match="alpha is None, expected a number"):
        config(tmp_path, peft_type=method)


def test_ia3_has_neither_rank_nor_alpha(tmp_path: Path) -> None:
    assert config(tmp_path, peft_type="IA3", r=None, lora_alpha=None).scale_of(Q0) == 1


def test_without_a_config_the_manifest_gives_r_and_alpha() -> None:
    options = read_adapter_config(None, r=12, alpha=24)
    assert (options.r, options.scale_of(Q0), options.source) == (12, 2, "the manifest")


@pytest.mark.parametrize(("r", "alpha"), [(None, None), (12, None), (None, 24)])
def test_without_a_config_and_numbers_it_is_an_error(r: int | None, alpha: float | None) -> None:
    with pytest.raises(ConversionError, match=r"no adapter_config\.json"):
        read_adapter_config(None, r=r, alpha=alpha)


@pytest.mark.parametrize("text", ["", "[]", '{"r":', "[" * 200_000, "\xff"])
def test_a_config_that_is_no_json_object_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "adapter_config.json"
    path.write_text(text, "latin-1")
    with pytest.raises(ConversionError, match=r"cannot read|not a JSON object"):
        read_adapter_config(path)


def test_a_huge_config_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "adapter_config.json"
    with path.open("wb") as file:
        file.truncate(MAX_CONFIG_BYTES + 1)
    with pytest.raises(ConversionError, match="larger than"):
        read_adapter_config(path)
