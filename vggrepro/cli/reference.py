"""Commands that print what may be set."""

from __future__ import annotations

from typing import Annotated

from vggrepro.cli.app import command_group
from vggrepro.cli.options import RunName, about, read_settings

command = command_group("Settings")


@command
def settings(
    preset: Annotated[str, about('paper, tiny, smoke, or JSON such as \'{"smoke": true, "seeds": [0, 1]}\'')],
    run: RunName | None = None,
    /,
) -> None:
    """Print a preset's settings as JSON, those of one run if it is named."""
    all_settings = read_settings(preset)
    print((all_settings.for_run(run) if run else all_settings).model_dump_json(indent=1))


@command
def schema() -> None:
    """Write the reference of all settings, made from the code."""
    from vggrepro.core.files import write_text
    from vggrepro.settings.loading import SCHEMA_FILE, settings_schema

    write_text(SCHEMA_FILE, settings_schema())
