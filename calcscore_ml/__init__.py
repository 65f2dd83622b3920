"""Coronary calcium scoring with classical machine learning. For research only."""
