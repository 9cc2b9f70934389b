"""The community's validator of RO-Crates without a network: `python crate_validator.py CRATE CONTEXT`, where it is installed.

roc-validator and import-linter need different versions of rich, so that it is installed apart (`pipx install roc-validator`).
CONTEXT is rocrate's copy of the newest JSON-LD context; it stands for those that the validator would fetch. Prints all that is
not as the profile requires or recommends, as JSON: severity and message.
"""

import json
import sys
from pathlib import Path

from rdflib.plugins.shared.jsonld import context as jsonld_context
from requests import Response
from rocrate_validator.utils import document_loader, http

# the version that the profiles extend has a shorter namespace for the terms of workflows
CONTEXT = (
    Path(sys.argv[2]).read_text(encoding="utf-8").replace("https://bioschemas.org/terms/", "https://bioschemas.org/")
)


def from_copy(source, *rest, **options):
    if str(source).startswith("https://w3id.org/ro/"):
        return json.loads(CONTEXT), None
    return document_loader._original_source_to_json(source, *rest, **options)


def answer(self, url, **options):
    response = Response()
    response.status_code, response._content, response.url = 200, CONTEXT.encode(), url
    response.headers["Content-Type"] = "application/ld+json"
    return response


document_loader._patched_source_to_json = from_copy
jsonld_context.source_to_json = from_copy
http.HttpRequester.get = answer

from rocrate_validator.models import Severity, ValidationSettings  # noqa: E402
from rocrate_validator.services import validate  # noqa: E402

settings = ValidationSettings(
    rocrate_uri=Path(sys.argv[1]),
    profile_identifier="workflow-run-crate",
    requirement_severity=Severity.RECOMMENDED,
    offline=True,
)
print(json.dumps([[issue.severity.name, issue.message] for issue in validate(settings).get_issues()]))
