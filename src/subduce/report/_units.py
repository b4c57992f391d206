"""Numbers as people read them: a few digits, a unit, small energies in meV."""

import math
from datetime import timedelta
from typing import Any

_SMALL = {"eV": "meV", "eV/Å": "meV/Å", "eV/Å³": "meV/Å³"}


def scale(largest: float, unit: str) -> tuple[float, str]:
    """The factor and the unit in which values up to `largest` read well.

    >>> scale(0.03, "eV/Å")
    (1000.0, 'meV/Å')
    >>> scale(12.0, "K")
    (1.0, 'K')
    """
    return (1000.0, _SMALL[unit]) if unit in _SMALL and largest < 1 else (1.0, unit)


def quantity(value: float | None, unit: str = "") -> str:
    """A value with three digits and its unit.

    >>> quantity(0.0123, "eV"), quantity(None), quantity(512.3, "K")
    ('12.3 meV', '–', '512 K')
    """
    if value is None or not math.isfinite(value):
        return "–"
    factor, unit = scale(abs(value), unit)
    return f"{number(factor * value)} {unit}".strip()


def number(value: float) -> str:
    """Three digits, and no more zeros than needed; whole numbers whole.

    >>> number(0.00012), number(12345.6), number(3), number(-0.5)
    ('0.00012', '12 346', '3', '−0.5')
    """
    if isinstance(value, int) or abs(value) >= 100:
        text = f"{value:,.0f}".replace(",", "\u202f")
    else:
        text = f"{value:.3g}"
    return text.replace("-", "−").replace("\u202f", " ")


def duration(seconds: float) -> str:
    """A time in the unit that fits.

    >>> duration(0.42), duration(75), duration(7300)
    ('0.42 s', '1 min 15 s', '2 h 1 min')
    """
    if seconds < 60:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    whole = timedelta(seconds=round(seconds))
    hours, rest = divmod(int(whole.total_seconds()), 3600)
    minutes, last = divmod(rest, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {last} s"


def plain(value: Any) -> str:
    """Any setting or result as a short text."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number(value) if math.isfinite(value) else "–"
    if isinstance(value, list | tuple):
        return ", ".join(plain(item) for item in value)
    return str(value)
