"""How good forecasts were: figures of merit, the baseline beside them, splits, and what is stored of them."""
