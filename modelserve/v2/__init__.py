"""The contract between a model and modelserve: all that a model author imports.

from modelserve.v2 import BaseModel, OutputFile, UploadedFile, current_call, fields, progress
"""

from modelserve.v2 import fields
from modelserve.v2.current_call import CurrentCall, current_call, current_calls
from modelserve.v2.files import OutputFile, UploadedFile
from modelserve.v2.model import BaseModel
from modelserve.v2.progress import progress

__all__ = [
    "BaseModel",
    "CurrentCall",
    "OutputFile",
    "UploadedFile",
    "current_call",
    "current_calls",
    "fields",
    "progress",
]
