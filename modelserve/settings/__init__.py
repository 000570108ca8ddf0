"""The settings of a server: one table of fields, and how a value is found for each.

    flags > MODELSERVE_* environment > modelserve.toml > default   ->   Settings (frozen)
    Settings + [deployments.NAME] of the file                      ->   Settings.of(NAME)

Flags, environment names, checks and the reference page are made from the table, so that a new setting is one new row. A
key that is not in the table is an error, never dropped.
"""

from modelserve.settings.fields import PREFIX, Field, Kind, describe_value
from modelserve.settings.rows import DeploymentTable
from modelserve.settings.sources import CONFIG_FILE, CONFIG_VARIABLE, load_settings
from modelserve.settings.table import FIELDS, Settings

__all__ = [
    "CONFIG_FILE",
    "CONFIG_VARIABLE",
    "FIELDS",
    "PREFIX",
    "DeploymentTable",
    "Field",
    "Kind",
    "Settings",
    "describe_value",
    "load_settings",
]
