"""What we measure, with committed results. Owns: the yardsticks and how a figure is made from them.
Leaves to others: the product's own speed (src), what a request costs in money (rating).
Always: compared within one run only; a run in which anything failed or went unmetered says so and counts for nothing.
"""
