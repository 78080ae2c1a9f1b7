# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.ragops.stack.plugins.module_utils._errors import RagopsError
from ansible_collections.ragops.stack.plugins.module_utils._exec import exit_code


def test_success_and_exit_codes() -> None:
    assert exit_code(b'{"status": "Success"}') == 0
    failed = b'{"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": [{"reason": "ExitCode", "message": "3"}]}}'
    assert exit_code(failed) == 3


@pytest.mark.parametrize(
    ("status", "wanted"),
    [(b"", "connection ended before"), (b'{"status": "Failure", "message": "executable not found"}', "executable not found")],
)
def test_what_is_no_exit_code_is_an_error_with_words(status: bytes, wanted: str) -> None:
    with pytest.raises(RagopsError, match=wanted):
        exit_code(status)
