"""A model as a file that tells what came of the parts of a form, for tests of the web and of the command line."""

from __future__ import annotations

import os
from typing import Any

from modelserve.v2 import fields

__all__ = ["Parts"]


class Parts:
    """Answers with its arguments, a file by the suffixes of its path."""

    def get_predict_args(self) -> dict[str, Any]:
        """Return an argument of each kind."""
        return {
            "file": fields.File(),
            "about": fields.Dict(),
            "names": fields.List(fields.Str()),
            "text": fields.Str(),
        }

    get_train_args = get_predict_args

    def predict(self, **arguments: Any) -> Any:
        """Tell the arguments."""
        if "file" in arguments:
            arguments["file"] = "." + os.path.basename(arguments["file"].filename).partition(".")[2]
        return arguments

    train = predict
