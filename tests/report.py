"""Reports as tests read them: JSON, where the numbers in each stack are replaced by the frames they stand for."""
import json
from pathlib import Path


def read_report(path):
    found = json.loads(Path(path).read_text())
    frames = found["frames"]

    def expand(stacks, key):
        stacks[key] = [frames[number] for number in stacks[key]]

    for leak in [*found["leaks"], *found["runtime"], *found["expected"]]:
        expand(leak, "stack")
    for error in found["errors"]:
        for key in error["stacks"]:
            expand(error["stacks"], key)
    return found
