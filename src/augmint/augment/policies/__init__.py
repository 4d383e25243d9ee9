"""One file, one policy: `build(strength, **options) -> Augment`."""
