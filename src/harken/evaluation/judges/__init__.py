"""Language models as judges: rubrics, verdicts, asking for them, and probes of a judge's habits.

How far a judge can be trusted is worked out in `harken.evaluation.agreement` and `.planted`.
"""
