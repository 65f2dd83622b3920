"""Agreement with a reference: of scores, of risk categories, of lesions; each with its confidence interval."""
