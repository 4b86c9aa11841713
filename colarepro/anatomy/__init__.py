"""What happens inside a chain while it trains, on real weights.

Along a run: the theory's quantity (the Frank-Wolfe gap, and how good an oracle a link is), what the links learned (the
delta's spectrum and ranks, angles between links, intruder dimensions) and what it cost (perplexity on other text).
"""
