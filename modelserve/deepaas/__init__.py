"""What a package that was written for DEEPaaS finds in its worker; nothing of it is loaded for any other.

    ModelRef of the group deepaas.v2.model -> host() -> import names and exceptions as it expects them
                                           -> Adapted(model) -> the contract

DEEPaaS bears more than our contract does: a model without metadata, one whose ``warm`` is not implemented. What is
borne here, and nowhere else, is what was seen in public packages.
"""

from modelserve.deepaas.adapted import Adapted
from modelserve.deepaas.aliases import offer_names
from modelserve.deepaas.reasons import take_any_reason

__all__ = ["Adapted", "host"]


def host(name: str) -> None:
    """Make this process one in which packages for DEEPaaS run; call it before such a package is imported.

    Args:
        name: The model's name.
    """
    offer_names(name)
    take_any_reason()
