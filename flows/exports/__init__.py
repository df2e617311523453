"""The record in the forms that other tools read: cards, events, PROV, graphs and MLflow runs."""
