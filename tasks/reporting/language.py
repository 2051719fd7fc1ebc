"""The pages in other languages: what each English text is called there.

The templates and scripts are English. `words/<language>.yaml` has each of their texts and its
translation; `{name}` in a text stands for whatever the page puts there. In the browser
`language.js` replaces the texts, also those that scripts add later. What a person named (products,
labels, files) is marked `translate="no"`, or stands in `code`, `pre` or the class `path`.
"""

from functools import cache
from pathlib import Path

from tasks.workspace.yaml_text import parse_yaml

WORDS = Path(__file__).with_name("words")
LANGUAGES = ("zh",)


@cache
def words() -> dict[str, dict[str, str]]:
    """Language -> English text -> the text in that language."""
    files = {name: WORDS / f"{name}.yaml" for name in LANGUAGES}
    return {name: parse_yaml(path.read_text("utf-8"), path) for name, path in files.items()}
