"""Rules as data, and the pure engines behind them."""
