"""Initial weights that make a tokenizer a folding quantiser, which training then refines.

docs/training.md works an example. The method is that of folding analogue-to-digital converters (van de
Plassche 2003, "CMOS Integrated Analog-to-Digital and Digital-to-Analog Converters").
"""

from training.folding.code import PRICE_LIMIT
from training.folding.initial_weights import fits, fold

__all__ = ["PRICE_LIMIT", "fits", "fold"]
