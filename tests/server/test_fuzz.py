"""The HTTP interface against its own description, by schemathesis: whatever is sent, nothing fails."""

from __future__ import annotations

from contextlib import suppress

import pytest

schemathesis = pytest.importorskip("schemathesis")
from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from hypothesis.errors import Unsatisfiable  # noqa: E402
from schemathesis import GenerationMode  # noqa: E402
from schemathesis.checks import not_a_server_error  # noqa: E402
from schemathesis.specs.openapi.checks import (  # noqa: E402
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

HOST = "127.0.0.1:8765"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
EXAMPLES = {
    (True, GenerationMode.POSITIVE): 4,
    (True, GenerationMode.NEGATIVE): 3,
    (False, GenerationMode.POSITIVE): 2,  # of a tab or an image that is not there: little can be different
}
"""For each operation, and each kind of data; to make them up takes most of the time."""


def test_nothing_that_is_sent_makes_it_fail(app, page):
    headers = {"host": HOST, "origin": f"http://{HOST}", "cookie": f"mis={page.client.cookies['mis']}"}
    schema = schemathesis.openapi.from_asgi("/api/openapi.json", app, headers=headers)
    page.do("click", row=20, col=20)
    statuses: dict[str, set[int]] = {}

    def check(operation, real, mode):
        @settings(
            max_examples=EXAMPLES[real, mode],
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode), known=st.booleans())
        def send(case, known):
            if real and case.path_parameters:
                names = {"tab": page.tab, "image": page.images["a.png"]["key"], "number": 1, "index": 0}
                case.path_parameters = {name: names[name] for name in case.path_parameters}
            if real and known:  # get past the door
                revision = page.open()["revision"]
                if isinstance(case.body, dict) and "revision" in case.body:
                    case.body["revision"] = revision
                    for name in ("row", "col", "top", "left", "bottom", "right"):
                        if isinstance(case.body.get(name), float):
                            case.body[name] %= 48  # onto the image
                if isinstance(case.query, dict) and "revision" in case.query:
                    case.query["revision"] = revision
            response = case.call(headers={**(case.headers or {}), **headers})
            case.validate_response(response, checks=CHECKS)
            statuses.setdefault(operation.label, set()).add(response.status_code)

        with suppress(Unsatisfiable):  # what has no parameters cannot be asked wrongly
            send()

    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) > 20
    for operation in operations:
        for real, mode in EXAMPLES:
            check(operation, real, mode)
    page.open()
    page.do("click", row=30, col=30)  # it still works
    deep = [label for label, seen in statuses.items() if 200 in seen]
    assert len(deep) > 15, statuses  # most operations were carried out, not only refused
