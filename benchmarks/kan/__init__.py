"""Evidence for the recipes of Kolmogorov-Arnold layers."""
