"""Traditional augmentation: batched random operations, and policies made of them, found by name.

    augment = policy("simclr", strength=1.0)
    view = augment(Batch(images, targets, weights), draws)     # every image its own draw

Operations (geometry, colour, defects) are pure functions of images and parameters; a policy draws the
parameters. A new policy is a file in `policies/` with a function `build(strength, **options)`; its name
is the file's.
"""

import importlib
import inspect
import pkgutil
from types import ModuleType

from augmint.augment import policies
from augmint.augment.batches import Augment, as_float
from augmint.errors import UsageError

POLICIES: tuple[str, ...] = tuple(sorted(module.name for module in pkgutil.iter_modules(policies.__path__)))


def policy(name: str, strength: float = 1.0, **options: object) -> Augment:
    """The policy of that name: (Batch with uint8 or float 0 … 1 images, Draws) → Batch with float32 0 … 1 images.

    `strength` 1 is the published or measured setting, 0 changes nothing. `options` are the policy's own, e.g.
    `flip=False`. UsageError names what does not exist. Policies are stateless and work on any device.
    """
    if name not in POLICIES:
        raise UsageError(f"policy {name}: there is no such policy; choose one of {', '.join(POLICIES)}")
    if not strength >= 0:
        raise UsageError(f"policy {name}: strength {strength} has to be 0 or more; 1 is the usual setting")
    known = options_of(name)
    for option in options:
        if option not in known:
            raise UsageError(f"policy {name}: there is no option {option}; it has {', '.join(known) or 'none'}")
    built: Augment = _module(name).build(strength, **options)
    return built


def options_of(name: str) -> list[str]:
    """The names of an existing policy's options."""
    return [parameter for parameter in inspect.signature(_module(name).build).parameters if parameter != "strength"]


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"{policies.__name__}.{name}")


__all__ = ["POLICIES", "Augment", "as_float", "options_of", "policy"]
