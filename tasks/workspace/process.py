"""What the system says of a process."""

from pathlib import Path

BEGAN, STATE = 19, 0  # places in /proc/PID/stat, counted from behind the name


def began(pid: int) -> int:
    """When a process began, in ticks since the start of the machine: with its number this names one
    process alone. 0 where there is none, where it has ended, or where the system does not tell."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("latin-1")
    except OSError:
        return 0
    fields = text.rpartition(")")[2].split()  # a name may hold anything
    return 0 if fields[STATE] in "ZX" else int(fields[BEGAN])
