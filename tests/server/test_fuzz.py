"""The HTTP interface against its own description, by schemathesis: whatever is sent, the server does not fail."""

from __future__ import annotations

import pytest

schemathesis = pytest.importorskip("schemathesis")
import hypothesis  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

HOST = "127.0.0.1:8765"
CHECKS = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")


def test_nothing_that_is_sent_makes_it_fail(app, page):
    from schemathesis.checks import CHECKS as registry

    checks = [registry.get_one(name) for name in CHECKS]
    schema = schemathesis.openapi.from_asgi("/api/openapi.json", app)
    headers = {"host": HOST, "origin": f"http://{HOST}", "cookie": f"mis={page.client.cookies['mis']}"}
    page.do("click", row=20, col=20)
    print(headers, checks, len(list(schema.get_all_operations())))
