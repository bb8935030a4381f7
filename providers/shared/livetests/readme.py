"""The commands of a README, which newcomers type and tests run."""

from __future__ import annotations

import re
from pathlib import Path


def blocks(readme: Path, heading: str) -> list[str]:
    """Those of bash below a heading, in their order."""
    section = readme.read_text().split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"```bash\n(.*?)```", section, re.DOTALL)
