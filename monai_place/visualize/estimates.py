"""Numbers with their intervals, and how they are written: an en dash for what is not known, aligned digits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["NOTHING", "Estimate", "as_estimate", "format_number"]

NOTHING = "\N{EN DASH}"  # stands where there is no number
_MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval.

    Args:
        value: the number; NaN where it is not defined.
        low: lower end of the interval; NaN where there is none.
        high: upper end of the interval.
        unit: written behind the number. "%" means that the number is a share from 0 to 1, to be shown times 100.
        note: a few words beside the number, such as "chance 0.500".
        digits: digits behind the point; chosen by unit and size where it is None.

    Example:
        >>> Estimate(0.7431, 0.70, 0.78).text, Estimate(0.7431, 0.70, 0.78).interval
        ('0.743', '0.700 to 0.780')
        >>> Estimate(0.0931, unit="%").text, Estimate(float("nan")).text
        ('9.3 %', '–')
    """

    value: float
    low: float = math.nan
    high: float = math.nan
    unit: str = ""
    note: str = ""
    digits: int | None = None

    @property
    def has_interval(self) -> bool:
        """Whether both ends of the interval are numbers."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    @property
    def number(self) -> str:
        """The value without its unit."""
        return self._write(self.value)

    @property
    def text(self) -> str:
        """The value with its unit."""
        return f"{self.number} {self.unit}" if self.unit and self.number != NOTHING else self.number

    @property
    def interval(self) -> str:
        """The interval as "low to high", or nothing where there is none."""
        return f"{self._write(self.low)} to {self._write(self.high)}" if self.has_interval else ""

    def _write(self, value: float) -> str:
        share = self.unit == "%"
        digits = self.digits if self.digits is not None else (1 if share else 2 if self.unit else 3)
        return format_number(value * 100 if share else value, digits=digits)


def as_estimate(value: Any) -> Estimate:
    """Take a number, (value, low, high), a mapping or an object with these names, or None, for an `Estimate`.

    Args:
        value: what the evaluation handed over; a mapping may also hold unit, note and digits.

    Raises:
        TypeError: if `value` is none of these.

    Example:
        >>> as_estimate([0.7, 0.6, 0.8]).interval
        '0.600 to 0.800'
        >>> as_estimate({"value": 0.7}).interval
        ''
    """
    if isinstance(value, Estimate):
        return value
    if value is None:
        return Estimate(math.nan)
    if isinstance(value, Mapping) and "value" in value:
        number, low, high = (_number(value.get(name)) for name in ("value", "low", "high"))
        unit, note = str(value.get("unit") or ""), str(value.get("note") or "")
        return Estimate(number, low, high, unit=unit, note=note, digits=value.get("digits"))
    if all(hasattr(value, name) for name in ("value", "low", "high")):
        return Estimate(_number(value.value), _number(value.low), _number(value.high))
    if isinstance(value, Sequence) and not isinstance(value, str | bytes) and len(value) == 3:
        return Estimate(_number(value[0]), _number(value[1]), _number(value[2]))
    return Estimate(_number(value))


def _number(value: Any) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool | str | bytes) or not hasattr(value, "__float__"):
        raise TypeError(
            "an estimate is a number, (value, low, high), a mapping with the key value, or None; "
            f"got {type(value).__name__}"
        )
    return float(value)


def format_number(value: float, *, digits: int = 3) -> str:
    """Write a number with a fixed number of digits, a real minus sign, and an en dash for NaN.

    Args:
        value: the number.
        digits: digits behind the point.

    Example:
        >>> format_number(-0.0512, digits=2), format_number(float("nan")), format_number(12345.6, digits=0)
        ('−0.05', '–', '12,346')
    """
    if math.isnan(value):
        return NOTHING
    if math.isinf(value):
        return "∞" if value > 0 else f"{_MINUS}∞"
    text = f"{value:,.{digits}f}"
    if text.startswith("-"):
        # -0.00 is a zero.
        text = text[1:] if not text.strip("-0.,") else _MINUS + text[1:]
    return text
