"""Tables for the terminal."""

from striate.training.recipe import Recipe


def settings_table() -> str:
    """Every setting of a recipe: name, default, meaning."""
    rows = [
        (name, "" if field.is_required() else repr(field.default), field.description or "")
        for name, field in Recipe.model_fields.items()
    ]
    wide = max(len(name) for name, _, _ in rows)
    value = max(len(default) for _, default, _ in rows)
    return "\n".join(f"{name:<{wide}}  {default:<{value}}  {meaning}" for name, default, meaning in rows)
