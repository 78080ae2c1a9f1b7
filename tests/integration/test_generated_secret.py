# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import json
import re
from typing import Any

from tests.fakes.kube_api import FakeKubeApi
from tests.integration.conftest import Call

ARGS: dict[str, Any] = {"name": "login", "namespace": "demo", "keys": [{"name": "username", "value": "bob"}, {"name": "password", "length": 24}]}


def values(api: FakeKubeApi, name: str = "login") -> dict[str, str]:
    return {k: base64.b64decode(v).decode() for k, v in api.get("Secret", name, "demo")["data"].items()}


def test_predict_generate_once_and_never_tell(api: FakeKubeApi, call: Call) -> None:
    predicted = call("generated_secret", check=True, **ARGS)
    assert predicted["changed"] is True
    assert predicted["generated"] == ["password"]
    assert "login" not in api.names("Secret", "demo")

    done = call("generated_secret", **ARGS)
    made = values(api)
    assert made["username"] == "bob"
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9]{23}", made["password"])
    assert done["secret"]["key_names"] == ["password", "username"]

    again = call("generated_secret", **ARGS)
    assert again["changed"] is False
    assert again["generated"] == []
    assert values(api) == made
    assert again["secret"]["resource_version"] == done["secret"]["resource_version"]
    for result in (predicted, done, again):
        assert made["password"] not in json.dumps(result)
        assert base64.b64encode(made["password"].encode()).decode() not in json.dumps(result)


def test_a_missing_key_is_added_and_the_others_stay(api: FakeKubeApi, call: Call) -> None:
    call("generated_secret", **ARGS)
    before = values(api)
    result = call("generated_secret", name="login", namespace="demo", keys=[*ARGS["keys"], {"name": "token", "charset": "hex", "length": 8}])
    assert result["generated"] == ["token"]
    after = values(api)
    assert re.fullmatch("[0-9a-f]{8}", after.pop("token"))
    assert after == before


def test_a_given_value_is_kept_up_to_date_and_masked(api: FakeKubeApi, call: Call) -> None:
    call("generated_secret", name="model", namespace="demo", keys=[{"name": "api-key", "value": "first-value"}])
    result = call("generated_secret", name="model", namespace="demo", keys=[{"name": "api-key", "value": "second-value"}])
    assert result["changed"] is True
    assert values(api, "model") == {"api-key": "second-value"}
    assert "second-value" not in json.dumps(result)
    assert "(changed)" in result["diff"]["after"]["data"]["api-key"]


def test_a_user_name_is_no_secret(api: FakeKubeApi, call: Call) -> None:
    result = call("generated_secret", name="bob-login", namespace="demo", keys=[{"name": "username", "text": "bob"}, {"name": "password"}])
    assert result["secret"]["name"] == "bob-login", "not masked"
    assert values(api, "bob-login")["username"] == "bob"


def test_an_empty_value_is_refused(api: FakeKubeApi, call: Call) -> None:
    result = call("generated_secret", name="model", namespace="demo", keys=[{"name": "api-key", "value": ""}])
    assert result["msg"].startswith("Failed to set key api-key: its value is empty.")
    assert "model" not in api.names("Secret", "demo")


def foreign(api: FakeKubeApi, **data: str) -> None:
    encoded = {k: base64.b64encode(v.encode()).decode() for k, v in data.items()}
    api.put({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login", "namespace": "demo"}, "type": "Opaque", "data": encoded})


def test_a_foreign_secret_that_suffices_is_used_as_it_is(api: FakeKubeApi, call: Call) -> None:
    foreign(api, username="bob", password="from-vault")
    before = api.get("Secret", "login", "demo")
    assert call("generated_secret", **ARGS)["changed"] is False
    assert api.get("Secret", "login", "demo") == before


def test_a_foreign_secret_is_never_changed_or_deleted_unasked(api: FakeKubeApi, call: Call) -> None:
    foreign(api, username="bob")
    assert "was not made by ragops.stack and lacks or differs in password" in call("generated_secret", **ARGS)["msg"]
    assert "was not made by ragops.stack" in call("generated_secret", name="login", namespace="demo", state="absent")["msg"]
    assert values(api) == {"username": "bob"}
    assert call("generated_secret", adopt=True, **ARGS)["generated"] == ["password"]


def test_absent(api: FakeKubeApi, call: Call) -> None:
    call("generated_secret", **ARGS)
    args: dict[str, Any] = {"name": "login", "namespace": "demo", "state": "absent"}
    assert call("generated_secret", check=True, **args)["changed"] is True
    assert "login" in api.names("Secret", "demo")
    assert call("generated_secret", **args)["changed"] is True
    assert "login" not in api.names("Secret", "demo")
    assert call("generated_secret", **args)["changed"] is False


def test_check_mode_before_the_namespace_exists(call: Call) -> None:
    result = call("generated_secret", check=True, **{**ARGS, "namespace": "not-yet"})
    assert result["changed"] is True


def test_nothing_secret_is_in_a_url(api: FakeKubeApi, call: Call) -> None:
    call("generated_secret", **ARGS)
    assert api.leaks(values(api)["password"], bodies=False) == []
