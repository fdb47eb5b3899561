"""What Lightning calls while it trains and evaluates."""
