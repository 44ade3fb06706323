"""`vouched`: what a verified sender that can't sign has pushed, with our own signature."""

from __future__ import annotations

from msgspec.structs import replace

from cloudq.core import wire
from cloudq.core.delivery import Delivery
from cloudq.core.signatures import fault_in, sign
from cloudq.core.signing_keys import SigningKeys


def vouched(delivery: Delivery, keys: SigningKeys | None) -> Delivery:
    """The delivery of a message that is signed: by its sender, or now by us.

    Its copies need it: they are pushed by the account of their queue, which says nothing about who wrote them.

    Args:
        delivery: What a sender has pushed that is believed without a signature.
        keys: The keys in force, or `None`: then nothing looks at signatures.
    """
    message = delivery.message
    if keys is None or message is None or fault_in(delivery.body, keys) is None:
        return delivery
    body = sign(delivery.body, keys.first)
    return replace(delivery, body=body, message=replace(wire.decode(body, delivery.queue), queue=message.queue))
